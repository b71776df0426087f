"""Run xinetd's internal echo, one process per connection, on a free port, as a child of this script."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIGURATION = """
defaults
{{
    instances = UNLIMITED
    per_source = UNLIMITED
    cps = 1000000 1
    log_type = FILE /dev/null
}}
service echo
{{
    type = INTERNAL UNLISTED
    id = echo-stream
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    bind = 127.0.0.1
    port = {port}
}}
"""
SECONDS_TO_START = 10


def free_port() -> int:
    """Return a port that no other process is likely to use now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Return True if a server listens on the port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Start xinetd, wait until it listens, print the port, and wait for its end."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "xinetd.conf")
        configuration.write_text(CONFIGURATION.format(port=port), encoding="ascii")
        command = ["xinetd", "-dontfork", "-f", str(configuration), "-pidfile", str(Path(folder, "pid"))]
        with subprocess.Popen(command) as child:
            deadline = time.monotonic() + SECONDS_TO_START
            while not listens(port):
                if child.poll() is not None or time.monotonic() > deadline:
                    sys.exit("xinetd does not listen")
                time.sleep(0.05)
            print("port", port, flush=True)
            child.wait()


if __name__ == "__main__":
    main()
