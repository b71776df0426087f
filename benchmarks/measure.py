"""Measure the CPU time and the memory of a process and its children, as the kernel counts them.

Time is read from schedstat, in nanoseconds. A child that has ended counts in hundredths of a second, the precision
its parent gets. That is enough for servers that fork, which spend seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, with all its threads and descendants."""
    total = 0.0
    for each in _tree(pid):
        for task in Path(f"/proc/{each}/task").glob("*/schedstat"):
            total += int(_text(task).partition(" ")[0] or 0) / 1e9
        # the program name in parentheses may contain spaces; fields 16 and 17 are the time of dead children
        fields = _text(Path(f"/proc/{each}/stat")).rpartition(")")[2].split()
        if fields:
            total += (int(fields[13]) + int(fields[14])) / _TICK
    return total


def resident_bytes(pid: int) -> int:
    """Return the resident memory (VmRSS) of a process and its descendants."""
    total = 0
    for each in _tree(pid):
        for line in _text(Path(f"/proc/{each}/status")).splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _text(children).split():
            yield from _tree(int(child))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # the process has ended
        return ""
