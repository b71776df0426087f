"""Flood an address with datagrams from another process: ``python tests/hostile/flooding.py HOST PORT SIZE``."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

_AT_A_TIME = 256
_LONGEST = 60.0


@contextlib.contextmanager
def flooded(address: tuple[str, int], size: int) -> Iterator[None]:
    """Run a flood in the background of the body."""
    arguments = [address[0], str(address[1]), str(size)]
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.terminate()


def main(host: str, port: str, size: str) -> None:
    """Send datagrams until the process is ended, a minute at most."""
    datagram = bytes(int(size))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # the daemon's answers fill the receive buffer and are dropped there
        sock.setblocking(False)
        until = time.monotonic() + _LONGEST
        print("flooding", flush=True)
        while time.monotonic() < until:
            for _ in range(_AT_A_TIME):
                with contextlib.suppress(BlockingIOError):
                    sock.sendto(datagram, (host, int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
