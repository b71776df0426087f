"""sd_notify(3): what a service manager is told, one datagram a message; nothing, where none asked for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class SdNotifier:
    """Sends assignments, one a line (``READY=1``), to an address; whether that worked.

    Its socket is kept: at a moment when it matters there may be no descriptor for another.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._sock: socket.socket | None = None

    def __call__(self, state: str) -> bool:
        """Send them, without waiting."""
        try:
            if self._sock is None:
                self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                self._sock.connect(self._address)
            self._sock.send(state.encode())
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Until it is used again."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def notifier_from_environ(environment: Mapping[str, str]) -> SdNotifier | None:
    """For $NOTIFY_SOCKET: a path, or an abstract name after ``@``. None, where there is none."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return None
    return SdNotifier(address.replace("@", "\0", 1) if address.startswith("@") else address)


def watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """The time within which systemd wants to hear ``WATCHDOG=1``, if it wants it from this process."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not (microseconds.isascii() and microseconds.isdigit() and int(microseconds)):
        return None
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6
