"""Find the listening address of a process in /proc, for daemons whose log cannot be read."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

_TABLES = {"TCP": "tcp", "UDP": "udp"}
_LOOKS = 2000
_UNCONNECTED = "00000000:0000"


def address(process: subprocess.Popen[str], transport: str) -> tuple[str, int]:
    """Wait for the IPv4 address of the process's socket and return it; fail if the process ends first."""
    for _ in range(_LOOKS):
        inodes = _sockets(process.pid)
        for line in Path(f"/proc/{process.pid}/net/{_TABLES[transport]}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[2] == _UNCONNECTED:
                host, port = fields[1].split(":")
                return socket.inet_ntoa(struct.pack("=I", int(host, 16))), int(port, 16)
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended with status {process.wait(0.01)}")
    raise AssertionError(f"no {transport} socket of process {process.pid} listens")


def _sockets(process: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.update(re.findall(r"socket:\[(\d+)\]", os.readlink(each)))  # noqa: PTH115 - not a path
    return found
