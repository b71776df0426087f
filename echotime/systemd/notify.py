"""Send state changes to the service manager; see sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from twisted.logger import Logger

from echotime.systemd.environment import number, other_process

_MAX_ADDRESS = 107
"""Bytes of a Unix socket's address (unix(7))."""
_MAX_MICROSECONDS = 2**64 - 1
_log = Logger("echotime")
_SUPERSEDED = {"RELOADING": ("READY",), "STOPPING": ("READY", "RELOADING")}
"""Unsent states that a later one makes untrue. READY=1 after RELOADING=1 ends the reload: both are needed."""


class SdNotifier:
    """Send notifications, each some assignments on lines of their own, to the socket address of the service manager.

    A notification is known by its first variable, as in ``READY=1`` and ``STATUS=text``. What cannot be sent is kept
    until it is sent or superseded, and goes before later ones.
    The socket stays open, because no descriptor may be free at the moment of an important message.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._sock: socket.socket | None = None
        self._unsent: dict[str, str] = {}
        """Notifications to send, the oldest first, by their first variable."""

    def __call__(self, notification: str) -> bool:
        """Send a notification without blocking. Return True if nothing is left unsent."""
        variable = notification.partition("=")[0]
        for superseded in (variable, *_SUPERSEDED.get(variable, ())):
            self._unsent.pop(superseded, None)
        self._unsent[variable] = notification
        return self.retry()

    def retry(self) -> bool:
        """Send what is unsent, without blocking. Return True if nothing is left."""
        try:
            while self._unsent:
                if self._sock is None:
                    self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                    self._sock.connect(self._address)
                variable = next(iter(self._unsent))
                self._sock.send(self._unsent[variable].encode())
                del self._unsent[variable]
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close the socket; the next message opens another."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def notifier_from_environ(environment: Mapping[str, str]) -> SdNotifier | None:
    """Return a notifier for $NOTIFY_SOCKET, a path or an abstract name after ``@``. Return None if it is not set."""
    address = environment.get("NOTIFY_SOCKET", "")
    if address.startswith(("/", "@")) and len(os.fsencode(address)) <= _MAX_ADDRESS:
        return SdNotifier(address.replace("@", "\0", 1) if address.startswith("@") else address)
    if address:
        _log.warn("the service manager is not notified: NOTIFY_SOCKET must be a path, or @ and an abstract name")
    return None


def watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return the seconds within which systemd expects ``WATCHDOG=1`` from this process, None if it does not.

    Raises InvalidEnvironment.
    """
    if not environment.get("WATCHDOG_USEC"):
        return None
    if reason := other_process(environment, "WATCHDOG_PID"):
        _log.warn("the watchdog is not notified: {reason}", reason=reason)
        return None
    return number(environment, "WATCHDOG_USEC", _MAX_MICROSECONDS) / 1e6
