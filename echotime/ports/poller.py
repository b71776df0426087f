"""Poller: the reactor of a port's connections. Its epoll descriptor is one reader of the real reactor.

Twisted passes each event through a log context, several microseconds' worth. Here the reactor sees one event for all
connections that are ready, and they are served in one loop. What an event means is still Twisted's own rule
(_PollLikeMixin), but for the one that is nearly all of them: there is something to read, and nothing else.

A turn is bounded, so that others in the process are served, too; of connections epoll puts those first that were left
out. What changes in a turn is told to the kernel at its end: a connection that begins, is answered and ends within
one was never known to it. The answers to connections that begin or end leave then, too, all in a row: each packet
that leaves may wake the client's process, and one that is awake already need not be woken.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet import main
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.posixbase import _DisconnectSelectableMixin, _PollLikeMixin
from twisted.internet.tcp import Connection
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

_INPUT = select.EPOLLIN
_INPUT_AND_END = select.EPOLLIN | select.EPOLLRDHUP
_ROOM = select.EPOLLOUT
_MANY = 8
"""Where so many were ready, there may be more by now: a look costs less than another turn of the reactor."""


@implementer(IReactorFDSet, IReadDescriptor)
class Poller(_PollLikeMixin, _DisconnectSelectableMixin):
    """Watches connections as one reader of `reactor`, from `open` on until `retire` and the end of the last.

    A connection is known until `forget`, also while it is neither read nor written: its end is noticed all the same.
    """

    turn = 128
    """The most events that are served before everybody else gets a turn."""
    _POLL_DISCONNECTED = select.EPOLLHUP | select.EPOLLERR
    _POLL_IN = _INPUT
    _POLL_OUT = _ROOM

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.callLater = reactor.callLater
        self._epoll: select.epoll | None = None
        self._retired = False
        self._in_turn = False
        self._known: dict[int, Connection] = {}
        self._reads: set[int] = set()
        self._writes: set[int] = set()
        self._told: dict[int, int] = {}
        """What the kernel looks for, of those it was told of."""
        self._changed: set[int] = set()

    def addReader(self, reader: Any) -> None:
        """Look for something to read."""
        self._add(self._reads, reader)

    def removeReader(self, reader: Any) -> None:
        """Look for it no more."""
        self._remove(self._reads, reader)

    def addWriter(self, writer: Any) -> None:
        """Look for room to write."""
        self._add(self._writes, writer)

    def removeWriter(self, writer: Any) -> None:
        """Look for it no more."""
        self._remove(self._writes, writer)

    def _add(self, those: set[int], connection: Any) -> None:
        number = connection.fileno()
        if number not in those:
            those.add(number)
            self._change(number, connection)

    def _remove(self, those: set[int], connection: Any) -> None:
        number = connection.fileno()
        if number in those:
            those.remove(number)
            self._change(number, connection)

    def forget(self, connection: Connection) -> None:
        """It is over; its descriptor is still open."""
        number = connection.fileno()
        self._known.pop(number, None)
        self._reads.discard(number)
        self._writes.discard(number)
        if self._told.pop(number, None) is not None and self._epoll is not None:
            self._epoll.unregister(number)
        self._close_if_done()

    def removeAll(self) -> list[Any]:
        """Forget all connections; which they were."""
        known = list(self._known.values())
        for each in known:
            self.forget(each)
        return known

    def getReaders(self) -> list[Any]:
        """Those that are read."""
        return [self._known[number] for number in self._reads]

    def getWriters(self) -> list[Any]:
        """Those that wait for room to write."""
        return [self._known[number] for number in self._writes]

    def fileno(self) -> int:
        """The epoll descriptor: readable while a connection is ready."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """For log lines about it."""
        return self.__class__.__name__

    def open(self) -> None:
        """Have what it takes, before there may be no descriptor left. Raises OSError."""
        self._retired = False
        self._opened()

    def retire(self) -> None:
        """No connection will be added: the end of the last is that of the poller."""
        self._retired = True
        self._close_if_done()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, and with it all connections."""
        self._retired = True
        for each in list(self._known.values()):
            try:
                each.connectionLost(reason)
            except BaseException:
                log.err()
        self._close_if_done()

    @contextmanager
    def one_turn(self) -> Iterator[None]:
        """Tell the kernel of what changes within at the end, once."""
        self._in_turn = True
        try:
            yield
        finally:
            self._settle()

    def doRead(self) -> None:
        """Serve the connections that are ready, as many events as the turn allows."""
        left = self.turn
        while self._epoll is not None:
            ready = self._epoll.poll(0, left)
            self._in_turn = True
            try:
                self._serve(ready)
            finally:
                self._settle()
            left -= len(ready)
            if len(ready) < _MANY or left < _MANY:
                break

    def _serve(self, ready: list[tuple[int, int]]) -> None:
        why: BaseException | None
        known = self._known
        for number, event in ready:
            connection = known.get(number)
            if connection is None:
                continue  # ended by an earlier one's event
            if event == _INPUT:
                # _read, without its frame
                try:
                    why = connection.doRead()
                except BaseException:
                    why = sys.exc_info()[1]
                    log.err()
                if why:
                    self._disconnectSelectable(connection, why, why is main.CONNECTION_DONE)
            elif event == _INPUT_AND_END:
                self.read(connection)
            else:
                self._doReadOrWrite(connection, number, event & ~select.EPOLLRDHUP)

    def read(self, connection: Any) -> None:
        """Read a message and the end that may be behind it, in a turn; then answer both with one packet."""
        number = connection.fileno()
        connection.buffers = True
        for _ in range(2):
            if number in self._reads:
                self._read(connection)
        if number in self._known:
            connection.send_at_once()

    def _read(self, connection: Connection) -> None:
        """_doReadOrWrite where there is something to read, and nothing else."""
        why: BaseException | None
        try:
            why = connection.doRead()
        except BaseException:
            why = sys.exc_info()[1]
            log.err()
        if why:
            self._disconnectSelectable(connection, why, why is main.CONNECTION_DONE)

    def _disconnectSelectable(self, *args: Any) -> None:  # noqa: N802
        """As Twisted's; but what fails at one connection's end must not reach the reactor, as it would end us all."""
        try:
            super()._disconnectSelectable(*args)
        except BaseException:
            log.err()

    def writes(self, connection: Connection) -> bool:
        """Whether it waits for room to write."""
        return connection.fileno() in self._writes

    def _change(self, number: int, connection: Connection) -> None:
        if number < 0:
            # it is over: the error of who asks, as with the reactor itself, not that of the turn
            self._reads.discard(number)
            self._writes.discard(number)
            raise ValueError("file descriptor cannot be a negative integer (-1)")
        self._known[number] = connection
        if self._in_turn:
            self._changed.add(number)
        else:
            self._tell(number, connection)

    def _settle(self) -> None:
        """End a turn: write what was written in it, and tell the kernel what is left to wait for."""
        changed = self._changed
        while changed:
            number = changed.pop()
            connection = self._known.get(number)
            if connection is None:
                continue  # it is over
            if number in self._writes and not self._told.get(number, 0) & _ROOM:
                self._doReadOrWrite(connection, number, _ROOM)
                if number not in self._known:
                    continue
            self._tell(number, connection)
        self._in_turn = False

    def _tell(self, number: int, connection: Connection) -> None:
        mask = (_INPUT_AND_END if number in self._reads else 0) | (_ROOM if number in self._writes else 0)
        told = self._told.get(number)
        if told == mask:
            return
        try:
            if told is None:
                self._opened().register(number, mask)
            else:
                self._opened().modify(number, mask)
        except OSError as error:
            # out of memory or of watches: what cannot be watched is ended, and the others are served
            self._disconnectSelectable(connection, error, False)
        else:
            self._told[number] = mask

    def _opened(self) -> select.epoll:
        if self._epoll is None:
            self._epoll = select.epoll()
            try:
                self._reactor.addReader(self)
            except OSError:
                self._epoll.close()
                self._epoll = None
                raise
        return self._epoll

    def _close_if_done(self) -> None:
        if self._retired and not self._known and self._epoll is not None:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None
