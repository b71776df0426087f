"""What the running systemd is told; without one, or for a package, nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from files import UNITS
from places import Places

_PATTERNS = (
    "echotime.socket",
    "echotime@*.socket",
    "echotime.service",
    "echotime@*.service",
    "echotime-direct.service",
)


def runs(places: Places) -> bool:
    """It does, and this concerns it."""
    return places.real and Path("/run/systemd/system").is_dir()


def reload() -> None:
    """Have it read the units."""
    _tell("daemon-reload")


def stop(places: Places) -> None:
    """Stop all of ours, and have none start at boot."""
    _tell("stop", *_PATTERNS)
    for link in (places.sysconfdir / "systemd" / "system").glob("*.wants/echotime*"):
        if link.is_symlink() and link.readlink().parent == places.unitdir and link.readlink().name in UNITS:
            link.unlink()


def _tell(*words: str) -> None:
    subprocess.run(["systemctl", *words], check=False)
