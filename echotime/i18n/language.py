"""The language of all messages, chosen by LANGUAGE, LC_ALL, LC_MESSAGES or LANG; English where there is no other."""

from __future__ import annotations

import gettext as _gettext
from pathlib import Path

DOMAIN = "echotime"
DIRECTORY = Path(__file__).resolve().parent

# the rooms below and argparse ask gettext's current domain for their own words: they stand in our catalogues, too
_gettext.bindtextdomain(DOMAIN, str(DIRECTORY))
_gettext.textdomain(DOMAIN)

gettext = _gettext.gettext
"""The message in the user's language."""
