"""Choose the language of all messages by LANGUAGE, LC_ALL, LC_MESSAGES or LANG. English is the fallback."""

from __future__ import annotations

import gettext as _gettext
from pathlib import Path

DOMAIN = "echotime"
DIRECTORY = Path(__file__).resolve().parent

# argparse looks its messages up in gettext's current domain, so our catalogs translate them, too
_gettext.bindtextdomain(DOMAIN, str(DIRECTORY))
_gettext.textdomain(DOMAIN)

gettext = _gettext.gettext
"""Return a message in the user's language."""
