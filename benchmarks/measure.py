"""What a process costs: its time on a CPU and its memory, with that of its children, as the kernel counts them.

Time is read from schedstat, in nanoseconds. A child that is over has only the hundredths of a second that its parent
was told; that is good enough for the servers that fork, which spend seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Spent so far by the process, all its threads, and its descendants."""
    total = 0.0
    for each in _tree(pid):
        for task in Path(f"/proc/{each}/task").glob("*/schedstat"):
            total += int(_text(task).partition(" ")[0] or 0) / 1e9
        # the name of the program, in parentheses, may hold spaces; the 16th and 17th field are those of dead children
        fields = _text(Path(f"/proc/{each}/stat")).rpartition(")")[2].split()
        if fields:
            total += (int(fields[13]) + int(fields[14])) / _TICK
    return total


def resident_bytes(pid: int) -> int:
    """VmRSS of the process and its descendants."""
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
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return ""
