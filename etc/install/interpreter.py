"""Whether the interpreter that runs this is one that the units' unprivileged user can run."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from places import Impossible

_OLDEST = (3, 10)
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""By ProtectHome=yes and PrivateTmp=yes."""


def interpreter() -> Path:
    """Its program, which an environment links to."""
    return Path(getattr(sys, "_base_executable", sys.executable))


def standard_library() -> Path:
    """Where its modules are."""
    return Path(os.__file__).resolve().parent


def check() -> None:
    """Raises Impossible."""
    if sys.version_info < _OLDEST:
        raise Impossible(f"{interpreter()} is Python {sys.version.split()[0]}; expected 3.10 or later (PYTHON=)")
    for each in (interpreter(), interpreter().resolve(), standard_library()):
        for hidden in _HIDDEN:
            if each.is_relative_to(hidden):
                raise _unusable(f"{each} is below {hidden}, which the units hide from the daemon")
        for folder in each.parents:
            if not folder.stat().st_mode & stat.S_IXOTH:
                raise _unusable(f"only some users may enter {folder}, and {each} is in it")


def _unusable(why: str) -> Impossible:
    return Impossible(f"this Python cannot be used: {why}; expected one for all users, as PYTHON=/usr/bin/python3")
