"""sd_notify(3): what a service manager is told, one datagram a message; nothing, where none asked for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

Notify = Callable[[str], bool]
"""Sends assignments, one a line (``READY=1``); whether that worked."""


def notifier(environment: Mapping[str, str]) -> Notify | None:
    """What sends to $NOTIFY_SOCKET: a path, or an abstract name after ``@``. None, where there is none."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return None

    def notify(state: str) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
                sock.send(state.encode())
        except OSError:
            return False
        return True

    return notify


def watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """The time within which systemd wants to hear ``WATCHDOG=1``, if it wants it from this process."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not (microseconds.isascii() and microseconds.isdigit() and int(microseconds)):
        return None
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6
