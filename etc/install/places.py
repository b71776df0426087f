"""Where everything goes. Paths are those that hold when the system runs; DESTDIR stands before them meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[2]


class Impossible(Exception):
    """It cannot be installed; says why, in a line."""


class Places(NamedTuple):
    """The variables of the Makefile."""

    prefix: Path
    destdir: Path
    """The root directory, unless a package is made."""
    sysconfdir: Path
    unitdir: Path
    zshdir: Path

    @property
    def home(self) -> Path:
        """Environments, each under its version, and `bin`, a link to that of the current one."""
        return self.prefix / "lib" / "echotime"

    @property
    def real(self) -> bool:
        """It is for the system that runs, and not for a package."""
        return self.destdir == Path("/")

    def at(self, path: Path) -> Path:
        """Where it is now."""
        return self.destdir / path.relative_to("/")
