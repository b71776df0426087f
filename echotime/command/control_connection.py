"""The operator's end of the control socket: asks and waits for the answer; what is pushed meanwhile is told.

AMP without a reactor: a person at a prompt is waited for by readline, so a thread reads the socket beside it.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.protocols import amp
from twisted.python.failure import Failure

from echotime.desk import commands
from echotime.desk.commands import Refused

_LIMIT = 10.0
_SIZE = 65536

_PUSHED = {each.commandName: each for each in commands.PUSHED}

Told = Callable[[type[commands.Pushed], dict[str, Any]], object]


class Lost(Exception):
    """The daemon is gone, or does not answer."""


class _Client(amp.AMP):
    """AMP for one connection. `told` is called with every pushed command."""

    transport: Any

    def __init__(self, told: Told) -> None:
        super().__init__()
        self.told = told

    def ampBoxReceived(self, box: Any) -> None:
        """A pushed command, or an answer."""
        command = _PUSHED.get(box.get(amp.COMMAND))
        if command is None:
            super().ampBoxReceived(box)
        else:
            self.told(command, command.parseArguments(box, self))

    def makeConnection(self, transport: Any) -> None:
        """Without the line that AMP logs."""
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Failure = Failure(ConnectionLost())) -> None:  # noqa: B008
        """Likewise."""
        amp.BinaryBoxProtocol.connectionLost(self, reason)


class _Transport:
    """As much of a transport as AMP needs."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def write(self, data: bytes) -> None:
        """Send, waiting as long as it takes."""
        with contextlib.suppress(OSError):  # the reader notices
            self._socket.sendall(data, socket.MSG_NOSIGNAL)

    def loseConnection(self) -> None:
        """Wake the reader."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class ControlConnection:
    """Connected to `path`. Raises OSError if nobody listens there."""

    def __init__(
        self, path: str, told: Told = lambda command, event: None, when_gone: Callable[[], object] = lambda: None
    ) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(_LIMIT)
            self._socket.connect(path)
            self._socket.settimeout(None)
        except OSError:
            self._socket.close()
            raise
        self._lock = threading.RLock()
        self.gone = threading.Event()
        self._when_gone = when_gone
        self._amp = _Client(told)
        self._amp.makeConnection(_Transport(self._socket))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, command: type[amp.Command], **arguments: Any) -> dict[str, Any]:
        """Raises Refused, or Lost."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:
            if self.gone.is_set():
                raise Lost
            self._amp.callRemote(command, **arguments).addBoth(answers.put)
        try:
            answer = answers.get(timeout=_LIMIT)
        except queue.Empty:
            raise Lost from None
        if isinstance(answer, Failure):
            if answer.check(Refused, amp.RemoteAmpError, amp.UnhandledCommand):
                raise Refused(str(getattr(answer.value, "description", answer.value)))
            raise Lost
        found: dict[str, Any] = answer
        return found

    def rows(self, command: type[amp.Command], key: str | None = None, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Every row of a list, page by page; `key` is the column that the next page begins after, or none to count."""
        after, more = 0, True
        while more:
            page = self.ask(command, after=after, **arguments)
            yield from page["rows"]
            more = page["more"] and bool(page["rows"])
            after = page["rows"][-1][key] if more and key else after + len(page["rows"])

    def close(self) -> None:
        """Hang up."""
        self._when_gone = lambda: None
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(_LIMIT)
        self._socket.close()

    def _read(self) -> None:
        while data := self._received():
            with self._lock:
                self._amp.dataReceived(data)
        with self._lock:
            self.gone.set()
            self._amp.connectionLost()
        self._when_gone()

    def _received(self) -> bytes:
        try:
            return self._socket.recv(_SIZE)
        except OSError:
            return b""
