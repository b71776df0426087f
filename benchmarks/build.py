"""Compile the loads and the peers in C and Go."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


class BuildFailed(Exception):
    """Report a missing compiler or its error."""


def build_c(folder: Path) -> None:
    """Compile load/*.c and peers/*.c to programs named after their files: load-echo, peer-tcp. Raises BuildFailed."""
    if shutil.which("gcc") is None:
        raise BuildFailed("gcc is missing, and the loads are C programs: apt-get install gcc")
    folder.mkdir(parents=True, exist_ok=True)
    for sources, prefix in (("load", "load"), ("peers", "peer")):
        for source in sorted((HERE / sources).glob("*.c")):
            program = folder / f"{prefix}-{source.stem}"
            _run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)])


def build_go(folder: Path) -> None:
    """Compile peers/peer.go to peer-go. Raises BuildFailed."""
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOCACHE": str((folder.parent / "go-cache").resolve()),
    }
    _run(["go", "build", "-o", str(folder / "peer-go"), str(HERE / "peers" / "peer.go")], environment)


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise BuildFailed(f"{' '.join(command)}\n{done.stderr}")
