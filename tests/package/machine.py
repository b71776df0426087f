"""Provide clients and commands for the tests in the container, with the system's Python and no packages."""

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
    """Run a command, check its exit status, and return its output."""
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
    """Return a property of a unit."""
    return run("systemctl", "show", "--value", "-p", name, unit).strip()


def echo(message: bytes) -> bytes:
    """Send a message, half-close, and return everything received."""
    with socket.create_connection(ADDRESS, timeout=LIMIT) as sock:
        sock.sendall(message)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def time() -> bytes:
    """Return the answer to a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.sendto(b"", ADDRESS)
        return sock.recv(100)


def traces() -> set[Path]:
    """Return the paths named after echotime, except those in dpkg's database."""
    folders = ("/etc", "/usr/bin", "/usr/lib", "/usr/local", "/usr/share", "/run/systemd", "/var/lib/systemd")
    return {path for folder in folders for path in Path(folder).rglob("*echotime*")}
