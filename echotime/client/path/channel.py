"""Wait for a non-blocking socket in a reactor, without a protocol: experiments call recv(2) and see each result."""

from __future__ import annotations

import socket
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

T = TypeVar("T")


@implementer(IReadDescriptor, IWriteDescriptor)
class Channel:
    """Tell when a socket is readable or writable. An error makes it both, so that the next call returns the error."""

    def __init__(self, reactor: Any, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.reactor = reactor
        self.socket = sock
        self._readable: Deferred[None] | None = None
        self._writable: Deferred[None] | None = None

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "path"

    async def readable(self, seconds: float) -> bool:
        """Return True once the socket is readable, False after `seconds`."""
        self._readable = Deferred()
        self.reactor.addReader(self)
        return await self._within(self._readable, seconds)

    async def writable(self, seconds: float) -> bool:
        """Return True once the socket is writable, False after `seconds`."""
        self._writable = Deferred()
        self.reactor.addWriter(self)
        return await self._within(self._writable, seconds)

    async def _within(self, ready: Deferred[None], seconds: float) -> bool:
        timer = self.reactor.callLater(max(seconds, 0), ready.cancel)
        try:
            await ready
        except CancelledError:
            if timer.active():  # the whole experiment was cancelled
                timer.cancel()
                self.close()
                raise
            self._forget(ready)
            return False
        if timer.active():
            timer.cancel()
        return True

    def _forget(self, ready: Deferred[None]) -> None:
        if ready is self._readable:
            self._readable = None
            self.reactor.removeReader(self)
        elif ready is self._writable:
            self._writable = None
            self.reactor.removeWriter(self)

    def doRead(self) -> None:
        self.reactor.removeReader(self)
        ready, self._readable = self._readable, None
        if ready is not None:
            ready.callback(None)

    def doWrite(self) -> None:
        self.reactor.removeWriter(self)
        ready, self._writable = self._writable, None
        if ready is not None:
            ready.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        """Make the socket readable and writable. The reactor calls this at EPOLLERR and EPOLLHUP."""
        if self.socket.fileno() >= 0:
            self.doRead()
            self.doWrite()

    def close(self) -> None:
        """Close the socket, unless it is closed."""
        if self.socket.fileno() >= 0:
            self.reactor.removeReader(self)
            self.reactor.removeWriter(self)
            self.socket.close()


async def sleep(reactor: Any, seconds: float) -> None:
    """Wait. Cancelling ends the wait."""
    done: Deferred[None] = Deferred()
    timer = reactor.callLater(max(seconds, 0), done.callback, None)
    try:
        await done
    finally:
        if timer.active():
            timer.cancel()


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of coroutines that run at the same time. Raises the first exception of one."""
    try:
        return await gatherResults(list(map(Deferred.fromCoroutine, coroutines)), consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
