"""Describe the machine and software of a run: versions, processor, kernel, date."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path


def made_with() -> dict[str, str]:
    """Return the facts by name; programs that are missing are left out."""
    found = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "processors": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "twisted": _distribution("twisted"),
        "uvloop": _distribution("uvloop"),
        "gcc": _output_of("gcc", "-dumpfullversion"),
        "go": _output_of("go", "env", "GOVERSION").removeprefix("go"),
        "commit": _output_of("git", "describe", "--always", "--dirty"),
    }
    return {name: value for name, value in found.items() if value}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _distribution(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _output_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()
