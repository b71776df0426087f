"""ChangelistReactor: Twisted's epoll reactor with fewer system calls and less work for each event.

Selectables are served as EPollReactor serves them, except those that set one of two attributes:

- `direct_dispatch`: doRead, doWrite and connectionLost are called without a log context. Twisted enters one for every
  event, which costs several microseconds. An exception is logged and ends that selectable only.
- `uses_changelist` (see IChangelistConnection): addReader, removeReader, addWriter and removeWriter record a change.
  Before the next epoll_wait(2), epoll_ctl(2) is called once. A connection that begins, is answered and ends within one
  iteration is never registered.
  A connection that is neither read nor written stays registered with an empty event mask. The kernel still reports
  EPOLLERR for it, so a reset is noticed at once. EPOLLHUP alone means that both sides have sent FIN; the connection is
  then unregistered, as by EPollReactor. A connection that is no longer `connected` is unregistered at once, while its
  descriptor is open, because the kernel gives the number to the next connection.

At the end of each iteration new connections are read, and then each pending write is tried once before EPOLLOUT is
registered. So the answers of connections that begin or end leave in a row: each packet may wake the peer's process, and
a process that is awake need not be woken.

An iteration handles at most MAX_EVENTS events, and the connections accepted in it, which bounds the delay of timers.
epoll_wait(2) first returns the events that the last call left out. If there may be more events, selectables that do not
use the changelist are polled separately, so that a datagram or an operator need not wait for every busy connection.
The reactor uses the monotonic clock, so a step of the wall clock changes no timer.
"""

from __future__ import annotations

import errno
import select
import sys
import time
from collections.abc import Callable
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.main import CONNECTION_DONE, installReactor
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import Attribute

MAX_EVENTS = 128
"""Events an iteration handles before timers and threads get their turn."""
_READ_EVENTS = EPOLLIN | EPOLLRDHUP
"""The events of a connection that is read: EPOLLRDHUP tells that an end of file follows the data."""
_ERROR_EVENTS = EPOLLERR | EPOLLHUP | EPOLLIN
"""EPOLLERR alone of these means an error that is to be read, or messages in the error queue."""
_CONNECTION_DONE = Failure(CONNECTION_DONE)


class IChangelistConnection(IReadWriteDescriptor):
    """A connection that is registered late, and whose output can be held until the end of an iteration."""

    uses_changelist = Attribute("True.")

    connected = Attribute("False once the connection is lost; set before the last removeReader, which ends it here.")

    def hold_output() -> None:
        """Hold output in the kernel for a FIN that may follow at once."""

    def release_output() -> None:
        """Flush held output, unless the connection is about to close."""

    def read_error() -> Exception | None:
        """Return the reason why the connection is lost, if there is an error. Empty the error queue."""


class RegistrationError(OSError):
    """Report that epoll_ctl(2) failed, so that the connection cannot be served: ENOMEM or ENOSPC."""

    def __init__(self, error: OSError) -> None:
        hint = ", fs.epoll.max_user_watches is reached" if error.errno == errno.ENOSPC else ""
        super().__init__(error.errno, f"epoll_ctl: {error.strerror}{hint}")


class ChangelistReactor(EPollReactor):
    """An EPollReactor with a changelist and direct dispatch for the selectables that ask for them."""

    seconds = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.on_memory_error: Callable[[], object] = lambda: None
        """Called before a MemoryError is logged, and again if logging fails. An application may free memory."""
        self._connections: dict[int, Any] = {}
        """Selectables that use the changelist, by descriptor."""
        self._others: set[int] = set()
        """Descriptors of all other registered selectables."""
        self._registered: dict[int, int] = {}
        """Event masks of the registered connections, by descriptor."""
        self._new_connections: list[int] = []
        """Descriptors of connections that were added in this iteration."""
        self._changed_connections: set[int] = set()
        """Descriptors of connections whose mask may have to change."""
        super().__init__()

    def addReader(self, reader: Any) -> None:
        """Register a reader; for a connection that uses the changelist, before the next epoll_wait(2)."""
        fd = reader.fileno()
        if self._connections.get(fd) is not reader and not self._add_connection(reader, fd):
            super().addReader(reader)
            self._track_other(fd)
        elif fd not in self._reads:
            self._reads.add(fd)
            self._changed_connections.add(fd)

    def addWriter(self, writer: Any) -> None:
        """Register a writer; for a connection that uses the changelist, before the next epoll_wait(2)."""
        fd = writer.fileno()
        if self._connections.get(fd) is not writer and not self._add_connection(writer, fd):
            super().addWriter(writer)
            self._track_other(fd)
        elif fd not in self._writes:
            self._writes.add(fd)
            self._changed_connections.add(fd)

    def removeReader(self, reader: Any) -> None:
        """Unregister a reader; for a connection that uses the changelist, later unless it is lost."""
        fd = reader.fileno()
        if self._connections.get(fd) is not reader:
            super().removeReader(reader)
            self._track_other(fd)
        elif not reader.connected:  # type: ignore[union-attr]
            self._remove_connection(fd)
        elif fd in self._reads:
            self._reads.remove(fd)
            self._changed_connections.add(fd)

    def removeWriter(self, writer: Any) -> None:
        """Unregister a writer; for a connection that uses the changelist, later unless it is lost."""
        fd = writer.fileno()
        if self._connections.get(fd) is not writer:
            super().removeWriter(writer)
            self._track_other(fd)
        elif not writer.connected:  # type: ignore[union-attr]
            self._remove_connection(fd)
        elif fd in self._writes:
            self._writes.remove(fd)
            self._changed_connections.add(fd)

    def removeAll(self) -> list[Any]:
        """Remove all selectables, including connections that are neither read nor written."""
        connections = list(self._connections.values())
        for fd in list(self._connections):
            self._remove_connection(fd)
        return [*connections, *super().removeAll()]

    def _add_connection(self, selectable: Any, fd: int) -> bool:
        """Add a connection if it uses the changelist. Return True if it does. Raises ValueError if it is lost."""
        if not getattr(selectable, "uses_changelist", False):
            return False
        if fd < 0:
            raise ValueError("file descriptor cannot be a negative integer (-1)")  # as epoll_ctl(2) would refuse it
        self._selectables[fd] = self._connections[fd] = selectable
        self._new_connections.append(fd)
        return True

    def _remove_connection(self, fd: int) -> None:
        del self._selectables[fd], self._connections[fd]
        self._reads.discard(fd)
        self._writes.discard(fd)
        if self._registered.pop(fd, None) is not None:
            self._poller.unregister(fd)

    def _log_error(self) -> None:
        """Log the exception being handled. On MemoryError free memory first, or logging would fail."""
        if isinstance(sys.exc_info()[1], MemoryError):
            self.on_memory_error()
        log.err()

    def _track_other(self, fd: int) -> None:
        """Note that a selectable was registered or unregistered."""
        if fd in self._selectables:
            self._others.add(fd)
        elif fd >= 0:
            self._others.discard(fd)
        else:  # the descriptor is closed, so its number is unknown
            self._others.intersection_update(self._selectables)

    def doPoll(self, timeout: float | None) -> None:
        """Wait at most `timeout` seconds for events (None: without limit), and handle at most MAX_EVENTS of them."""
        try:
            if self._changed_connections:
                # Timers changed registrations. Handling these may start a timer, so do not wait for events.
                self._apply_changes()
                timeout = 0
            connections = self._connections
            events = self._poller.poll(timeout, MAX_EVENTS)
            for fd, event in events:
                selectable = connections.get(fd)
                if selectable is None:
                    self._dispatch(fd, event)
                elif event == EPOLLIN:
                    # nearly all events are of this kind
                    try:
                        why = selectable.doRead()
                    except BaseException:
                        why = sys.exc_info()[1]
                        self._log_error()
                    if why:
                        self._disconnect(selectable, why, True)
                else:
                    self._handle_event(selectable, fd, event)
            if len(events) == MAX_EVENTS and connections:
                self._dispatch_others()
            if self._changed_connections:
                self._apply_changes()
        except BaseException:
            # an error occurred while logging another one
            self._log_error()

    doIteration = doPoll

    def _dispatch(self, fd: int, event: int) -> None:
        """Handle an event of a selectable that does not use the changelist."""
        if fd not in self._others:
            return  # an earlier event of this iteration removed it
        selectable = self._selectables[fd]
        if getattr(selectable, "direct_dispatch", False):
            self._read_or_write(selectable, fd, event)
        else:
            log.callWithLogger(selectable, self._doReadOrWrite, selectable, fd, event)

    def _dispatch_others(self) -> None:
        """Serve the selectables that do not use the changelist, however many connections are ready."""
        poll = select.poll()
        for fd in self._others:
            # the bits of poll(2) are those of epoll(7)
            poll.register(fd, (EPOLLIN if fd in self._reads else 0) | (EPOLLOUT if fd in self._writes else 0))
        for fd, event in poll.poll(0):
            self._dispatch(fd, event)

    def _handle_event(self, connection: Any, fd: int, event: int) -> None:
        """Handle any event of a connection except a lone EPOLLIN."""
        if event == _READ_EVENTS:
            self._read_to_end(connection, fd)
        elif event == EPOLLHUP and not self._registered.get(fd):
            # both sides have sent FIN, but the connection is not closed yet: the kernel would report it repeatedly
            self._poller.unregister(fd)
            del self._registered[fd]
        elif event & _ERROR_EVENTS == EPOLLERR:
            self._handle_error(connection, fd, event)
        else:
            self._read_or_write(connection, fd, event & ~EPOLLRDHUP)

    def _handle_error(self, connection: Any, fd: int, event: int) -> None:
        """Handle EPOLLERR without data and without an end of file, for which EPollReactor takes it."""
        why = connection.read_error()
        if why:
            self._disconnect(connection, why, False)
        elif event & EPOLLOUT:
            self._read_or_write(connection, fd, EPOLLOUT)

    def _read_or_write(self, selectable: Any, fd: int, event: int) -> None:
        try:
            self._doReadOrWrite(selectable, fd, event)
        except BaseException:  # as callWithLogger: a failing connectionLost must not end the reactor
            self._log_error()

    def _disconnect(self, selectable: Any, why: BaseException, is_read: bool) -> None:
        try:
            if why is not CONNECTION_DONE or selectable.fileno() not in self._connections:
                self._disconnectSelectable(selectable, why, is_read)
            # a shorter _disconnectSelectable for a connection that ended with a FIN
            elif is_read:
                self.removeReader(selectable)
                selectable.readConnectionLost(_CONNECTION_DONE)
            else:
                selectable.connectionLost(_CONNECTION_DONE)
        except BaseException:  # as in _read_or_write
            self._log_error()

    def _write(self, connection: Any) -> None:
        try:
            why = connection.doWrite()
        except BaseException:
            why = sys.exc_info()[1]
            self._log_error()
        if why:
            self._disconnect(connection, why, False)

    def _read_to_end(self, connection: Any, fd: int) -> None:
        """Read data and the end of file that may follow, so that answer and FIN leave in one packet."""
        connection.hold_output()
        for _ in range(2):
            if fd in self._reads:
                try:
                    why = connection.doRead()
                except BaseException:
                    why = sys.exc_info()[1]
                    self._log_error()
                if why:
                    self._disconnect(connection, why, True)
        if fd in self._connections:
            connection.release_output()

    def _apply_changes(self) -> None:
        """Read new connections, try each write once, and update the event masks that epoll knows."""
        new, self._new_connections = self._new_connections, []
        for fd in new:
            connection = self._connections.get(fd)
            if connection is not None:
                self._read_to_end(connection, fd)
        changed = self._changed_connections
        while changed:
            fd = changed.pop()
            connection = self._connections.get(fd)
            if connection is None:
                continue  # the connection is lost
            if fd in self._writes and not self._registered.get(fd, 0) & EPOLLOUT:
                self._write(connection)
            if self._connections.get(fd) is connection:
                self._register(connection, fd)

    def _register(self, connection: Any, fd: int) -> None:
        mask = (_READ_EVENTS if fd in self._reads else 0) | (EPOLLOUT if fd in self._writes else 0)
        registered = self._registered.get(fd)
        if mask == registered:
            return
        try:
            if registered is None:
                self._poller.register(fd, mask)
            else:
                self._poller.modify(fd, mask)
        except OSError as error:
            self._disconnect(connection, RegistrationError(error), False)
        else:
            self._registered[fd] = mask


def install() -> None:
    """Make a ChangelistReactor the process's reactor. Raises ReactorAlreadyInstalledError."""
    installReactor(ChangelistReactor())
