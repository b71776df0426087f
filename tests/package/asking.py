"""What the tests in the container ask and tell. Standard library only: they run on the system's Python."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

PACKAGES = Path(os.environ.get("ECHOTIME_PACKAGES", ""))
ADDRESS = ("127.0.0.1", 12345)
DEFAULT, CONF = Path("/etc/default/echotime"), Path("/etc/echotime/echotime.conf")
BOTH = ("echotime.socket", "echotime.service")
LIMIT = 30


def run(*command: str | Path, status: int = 0) -> str:
    """What it says; it must end so."""
    ended = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ended.returncode == status, f"{command}: {ended.returncode}: {ended.stdout}"
    return ended.stdout


def show(unit: str, name: str) -> str:
    """A property."""
    return run("systemctl", "show", "--value", "-p", name, unit).strip()


def echo(message: bytes) -> bytes:
    """All that comes back."""
    with socket.create_connection(ADDRESS, timeout=LIMIT) as sock:
        sock.sendall(message)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def time() -> bytes:
    """The answer to a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.sendto(b"", ADDRESS)
        return sock.recv(100)


def traces() -> set[Path]:
    """All of ours in the system, but what dpkg knows."""
    folders = ("/etc", "/usr/bin", "/usr/lib", "/usr/local", "/usr/share", "/run/systemd", "/var/lib/systemd")
    return {path for folder in folders for path in Path(folder).rglob("*echotime*")}
