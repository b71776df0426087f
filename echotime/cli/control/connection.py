"""Connect to the control socket: call commands, wait for their results, and receive events.

This is AMP without a reactor. readline blocks the main thread at the prompt, so another thread reads the socket.

The process that listens may be another program than the daemon: what it sends is checked, and has limits.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from twisted.protocols import amp
from twisted.python.failure import Failure

from echotime.client.threads import start_thread
from echotime.control import commands
from echotime.control.bounded_amp import BoundedAMP
from echotime.control.commands import CommandError, InvalidArgument
from echotime.control.daemon_text import translate
from echotime.i18n.language import gettext as _

_TIMEOUT = 10.0
_READ_SIZE = 65536
_MIB = 2**20
_MAX_LIST = 64 * _MIB
"""Bytes of a list, at most. A row of a connection takes about 200."""

_EVENT_COMMANDS = {each.commandName: each for each in commands.PUSHED_EVENTS}

EventCallback = Callable[[type[commands.PushedEvent], dict[str, Any]], object]


class ControlConnectionLost(Exception):
    """Report that the daemon ended, or does not respond."""


class ControlProtocolError(ControlConnectionLost):
    """Report that the process at the other end of the socket does not speak the control protocol."""


class _ControlProtocol(BoundedAMP):
    """Speak AMP, and call the connection's `on_event` with every event."""

    def __init__(self, connection: ControlConnection) -> None:
        super().__init__()
        self._connection = connection
        self.interrupted_calls = 0
        """Calls that Ctrl-C interrupted, perhaps after they were sent and before the answer was expected."""

    def ampBoxReceived(self, box: Any) -> None:
        name = box.get(amp.COMMAND)
        if name == commands.Refused.commandName:
            self._connection.refusal = translate(commands.Refused.parseArguments(box, self)["reason"])
        elif name is None:
            try:
                super().ampBoxReceived(box)
            except KeyError:
                if not self.interrupted_calls:
                    raise
                self.interrupted_calls -= 1
        else:
            command = _EVENT_COMMANDS[name]
            self._connection.on_event(command, command.parseArguments(box, self))

    def lengthLimitExceeded(self, length: int) -> None:
        """Raise ValueError. AMP's implementation only closes the connection."""
        raise ValueError(f"a key of {length} bytes")


class _SocketTransport:
    """Provide the part of a transport that AMP needs."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def write(self, data: bytes) -> None:
        """Send data, and block until it is written."""
        with contextlib.suppress(OSError):  # the reader thread detects a lost connection
            self._socket.sendall(data, socket.MSG_NOSIGNAL)

    def loseConnection(self) -> None:
        """Shut the socket down, which wakes the reader thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class ControlConnection:
    """Connect to the control socket at `path`. Raises OSError if no daemon listens there, or ThreadUnavailable.

    `on_lost` is called by another thread when the connection has ended, unless `close` ended it.
    """

    def __init__(self, path: str) -> None:
        self.on_event: EventCallback = lambda command, event: None
        self.on_idle: Callable[[], object] = lambda: None
        """Called after the events of one read, by the thread that calls `on_event`."""
        self.on_lost: Callable[[], object] = lambda: None
        self.refusal = ""
        """The reason why the daemon has refused the connection."""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(_TIMEOUT)
            self._socket.connect(path)
            self._socket.settimeout(None)
        except OSError:
            self._socket.close()
            raise
        self._lock = threading.RLock()
        self._received = 0
        self.closed = threading.Event()
        self._is_faulty = False
        self._amp = _ControlProtocol(self)
        self._amp.makeConnection(_SocketTransport(self._socket))
        self._reader_thread = start_thread(self._read, "the control connection")

    def call(self, command: type[amp.Command], **arguments: Any) -> dict[str, Any]:
        """Return the result of a command. Raises InvalidArgument, another CommandError, or ControlConnectionLost."""
        results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:
            if self.closed.is_set():
                raise self.lost()
            try:
                self._amp.callRemote(command, **arguments).addBoth(results.put)
            except KeyboardInterrupt:
                self._amp.interrupted_calls += 1
                raise
        try:
            result = results.get(timeout=_TIMEOUT)
        except queue.Empty:
            raise ControlConnectionLost from None
        if isinstance(result, Failure):
            if result.check(amp.UnhandledCommand):
                raise CommandError(_("the daemon does not know this command; it has another version than this tool"))
            if result.check(CommandError, amp.RemoteAmpError):
                kind = InvalidArgument if result.check(InvalidArgument) else CommandError
                raise kind(translate(str(getattr(result.value, "description", result.value))))
            raise self.lost() if self.closed.is_set() else ControlProtocolError
        response: dict[str, Any] = result
        return response

    def rows(self, command: type[amp.Command], key: str | None = None, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Yield every row of a list, page by page. A page begins after the last `key`, or row number if None.

        Raises CommandError if the list is too long.
        """
        last, after, more, limit = -1, 0, True, self._received + _MAX_LIST
        while more:
            if self._received > limit:
                raise CommandError(_("the list is longer than {limit} MiB").format(limit=_MAX_LIST // _MIB))
            if after <= last:
                raise ControlProtocolError
            last, page = after, self.call(command, after=after, **arguments)
            yield from page["rows"]
            more = page["more"] and bool(page["rows"])
            after = page["rows"][-1][key] if more and key else after + len(page["rows"])

    def lost(self) -> ControlConnectionLost:
        """Return the exception for a connection that has been closed."""
        return ControlProtocolError() if self._is_faulty else ControlConnectionLost()

    def close(self) -> None:
        """Close the connection without calling `on_lost`."""
        self.on_lost = lambda: None
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader_thread.join(_TIMEOUT)
        self._socket.close()

    def _read(self) -> None:
        try:
            while data := self._recv():
                with self._lock:
                    self._received += len(data)
                    self._amp.dataReceived(data)
                self.on_idle()
        except Exception:  # Twisted and its arguments raise various exceptions for invalid data
            self._is_faulty = True
        with self._lock:
            self.closed.set()
            self._amp.connectionLost()
        if not self.refusal:  # a refused client waits for the response to its first command
            self.on_lost()

    def _recv(self) -> bytes:
        try:
            return self._socket.recv(_READ_SIZE)
        except OSError:
            return b""
