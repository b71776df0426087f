"""Choose the language of all messages by LANGUAGE, LC_ALL, LC_MESSAGES or LANG. English is the fallback.

In the locales C and POSIX messages are English, whatever LANGUAGE says, as with GNU gettext.
"""

from __future__ import annotations

import gettext as _gettext
import os
from pathlib import Path

DOMAIN = "echotime"
DIRECTORY = Path(__file__).resolve().parent

_locale = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")

# argparse looks its messages up in gettext's current domain, so our catalogues translate them, too
if _locale not in {"C", "POSIX"}:
    _gettext.bindtextdomain(DOMAIN, str(DIRECTORY))
    _gettext.textdomain(DOMAIN)

gettext = _gettext.gettext
"""Return a message in the user's language."""
