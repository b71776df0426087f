"""JournalObserver: log to systemd's journal, with fields by journald's native protocol, else as lines with priorities.

The lines go to a stream that must not block, such as the one of daemon/log_output.py.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

from twisted.logger import FileLogObserver, ILogObserver, LogEvent, LogLevel, eventAsText
from zope.interface import implementer

from echotime.wire.hostport import host_of

JOURNAL_SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {LogLevel.critical: 2, LogLevel.error: 3, LogLevel.warn: 4, LogLevel.info: 6, LogLevel.debug: 7}
"""Priorities of syslog(3)."""
_FIELD_NAME = re.compile(r"(?!log_)[a-z][a-z_]{0,40}")
_RESERVED_KEYS = frozenset({"message", "time", "system", "format"})
_FIELD_LENGTH = struct.Struct("<Q")


def is_journal(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Return True if a descriptor is the journal's stream; see $JOURNAL_STREAM in systemd.exec(5)."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


@implementer(ILogObserver)
class JournalObserver:
    """Send events with fields such as ECHOTIME_PEER to journald, or to `fallback` if journald refuses them."""

    def __init__(self, fallback: IO[Any], path: str = JOURNAL_SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._fallback = FileLogObserver(fallback, _prefixed_lines)

    def __call__(self, event: LogEvent) -> None:
        text = _event_text(event)
        if not text:
            return
        try:
            self._socket.sendto(b"".join(_entry_fields(event, text)), self._path)
        except OSError:
            self._fallback(event)


def _event_text(event: LogEvent) -> str:
    """Return the text of an event without its time, which the journal records."""
    return eventAsText(event, includeTimestamp=False, includeSystem=False)


def _priority(event: LogEvent) -> int:
    return _PRIORITIES.get(event.get("log_level", LogLevel.info), 6)


def _prefixed_lines(event: LogEvent) -> str:
    """Return lines with the prefixes of sd-daemon(3), as each line of a traceback needs its priority."""
    return "".join(f"<{_priority(event)}>{line}\n" for line in _event_text(event).split("\n"))


def _entry_fields(event: LogEvent, text: str) -> Iterator[bytes]:
    yield _encode_field("MESSAGE", text)
    yield _encode_field("PRIORITY", str(_priority(event)))
    yield _encode_field("SYSLOG_IDENTIFIER", "echotime")
    yield _encode_field("ECHOTIME_LOGGER", str(event.get("log_namespace", "")))
    for name, value in event.items():
        if name not in _RESERVED_KEYS and isinstance(value, (str, int, float)) and _FIELD_NAME.fullmatch(name):
            yield _encode_field(f"ECHOTIME_{name.upper()}", str(value))
    if "peer" in event:  # a search for a client does not know its port
        yield _encode_field("ECHOTIME_ADDRESS", host_of(str(event["peer"])))


def _encode_field(name: str, value: str) -> bytes:
    """Encode a field with its length, because a value may contain newlines."""
    data = value.encode("utf-8", "backslashreplace")
    return b"%s\n%s%s\n" % (name.encode(), _FIELD_LENGTH.pack(len(data)), data)
