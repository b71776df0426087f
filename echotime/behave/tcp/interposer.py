"""Interposer: stand between a transport and its EchoProtocol, and change nothing.

To the transport it is the protocol, and to the EchoProtocol it is the transport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.services.tcp_echo import CLOSE_TIMEOUT, EchoProtocol

MAX_HELD = 65536
"""Bytes held back from which the client is no longer read. The answer to a message already read may exceed it."""


@implementer(IPushProducer)
class _OutputGate:
    """Be the push producer of the real transport.

    The behavior cannot be it: its pauseProducing and resumeProducing are what the EchoProtocol calls to stop and start
    reading.
    """

    def __init__(self, set_full: Callable[[bool], None]) -> None:
        self._set_full = set_full

    def pauseProducing(self) -> None:
        self._set_full(True)

    def resumeProducing(self) -> None:
        self._set_full(False)

    def stopProducing(self) -> None:
        """Do nothing, because connectionLost follows."""


@implementer(IHalfCloseableProtocol)
class Interposer(Protocol):
    """Pass everything on. A subclass overrides some of `opened`, `received`, `write` and `client_ended`.

    What it holds back counts as `held`, so that the client is not read when that is too much.
    """

    transport: Any
    ended_by = ""
    """The reason for the end of the connection, if this ends it."""

    def __init__(self, echo: EchoProtocol) -> None:
        self.echo = echo
        self.clock = echo.factory.traffic.clock
        self.bytes_in = self.bytes_out = 0
        """Bytes received from the client and sent to it, as the transport sees them."""
        self._producer: IPushProducer | None = None
        self._held = 0
        self._transport_full = self._told_full = False
        self._echo_paused = self._blocked = self._fin_received = self._finishing = self._output_ended = False
        self._timers: set[IDelayedCall] = set()

    # hooks

    def opened(self) -> None:
        """Begin, after the EchoProtocol is connected."""

    def received(self, data: bytes) -> None:
        """Handle what one recv(2) has returned."""
        self.echo.dataReceived(data)

    def write(self, data: bytes) -> None:
        """Handle an answer of the EchoProtocol, or a part of one."""
        self.send(data)

    def client_ended(self) -> None:
        """Handle the client's FIN, after which nothing is read."""
        self.echo.readConnectionLost()

    # what the hooks use

    def send(self, data: bytes) -> None:
        """Send to the client at once, unless the output has ended."""
        if not self._output_ended:
            self.bytes_out += len(data)
            self.transport.write(data)

    def end_output(self, *, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """Send a FIN, and discard what the client still sends, until its FIN or for `timeout` seconds.

        Closing at once would make the kernel send a RST for data that is not read.
        """
        if self._output_ended:
            return
        self._output_ended = True
        self.echo.ended_reason = self.ended_by  # not mark_ended, because the client is still read
        self.transport.unregisterProducer()
        self._producer = None
        if self._fin_received:
            self.transport.loseConnection()
            return
        self.transport.loseWriteConnection()
        self.block_reading(False)
        if timeout is not None:
            self.later(timeout, self._stop_discarding)

    def _stop_discarding(self) -> None:
        if self.transport.unsent_bytes():
            self.reset()
        else:
            self.transport.loseConnection()

    def reset(self) -> None:
        """End the connection with a RST."""
        self.echo.reset(self.ended_by)

    @property
    def held(self) -> int:
        """The number of bytes that the behavior holds back. Setting it may pause or resume the EchoProtocol."""
        return self._held

    @held.setter
    def held(self, number: int) -> None:
        self._held = number
        self._update_output()
        if self._finishing and not number:
            self._close()

    def block_reading(self, blocked: bool) -> None:
        """Read nothing from the client from now on, or read again if the EchoProtocol wants to."""
        self._blocked = blocked
        self._update_reading()

    def later(self, delay: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Call a function after `delay` seconds, unless the connection has ended then."""

        def call() -> None:
            self._timers.discard(timer)
            function(*args)

        timer = self.clock.callLater(delay, call)
        self._timers.add(timer)
        return timer

    # the protocol, as the transport sees it

    def makeConnection(self, transport: Any) -> None:
        self._attach(transport)
        self.echo.makeConnection(self)
        self.opened()

    def take_over(self, previous: Interposer) -> None:
        """Continue the connection of another behavior, which has nothing held back."""
        self._producer, self._echo_paused = previous._producer, previous._echo_paused
        previous._cancel_timers()
        previous.transport.unregisterProducer()
        self._attach(previous.transport)
        self.transport.protocol = self
        self.echo.transport = self  # type: ignore[assignment]  # __getattr__ has the rest
        self.opened()

    def _attach(self, transport: Any) -> None:
        self.transport = transport
        transport.registerProducer(_OutputGate(self._set_full), True)

    def dataReceived(self, data: bytes) -> None:
        self.bytes_in += len(data)
        if self._output_ended:
            self.echo.last_active = self.clock.seconds()  # for idle timeout and drain
        else:
            self.received(data)

    def readConnectionLost(self) -> None:
        self._fin_received = True
        if self._output_ended:
            self.transport.loseConnection()
        else:
            self.client_ended()

    def writeConnectionLost(self) -> None:
        """Do nothing: the behavior has half-closed the connection itself."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel_timers()
        self._held = 0
        self.echo.bytes_out = self.bytes_out  # without what was not sent
        self.echo.connectionLost(reason)

    def _cancel_timers(self) -> None:
        for each in self._timers:
            each.cancel()
        self._timers.clear()

    # the transport, as the EchoProtocol sees it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # zope.interface would take what the transport provides, and the client's FIN would end the connection
            raise AttributeError(name)
        return getattr(self.transport, name)

    def send_buffer(self) -> int:
        """Return 0, so that the EchoProtocol gets single messages, and no large reads."""
        return 0

    def unsent_bytes(self) -> int:
        return self._held + int(self.transport.unsent_bytes())

    def unacked_bytes(self) -> int:
        return self._held + int(self.transport.unacked_bytes())

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self._echo_paused = True
        self._update_reading()

    def resumeProducing(self) -> None:
        self._echo_paused = False
        self._update_reading()

    def loseConnection(self) -> None:
        """Stop reading at once, and close the connection when nothing is held back."""
        self._finishing = True
        self.transport.pauseProducing()
        if not self._held:
            self._close()

    def _close(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _set_full(self, full: bool) -> None:
        self._transport_full = full
        self._update_output()

    def _update_output(self) -> None:
        full = self._transport_full or self._held >= MAX_HELD
        if full != self._told_full and self._producer is not None:
            self._told_full = full
            if full:
                self._producer.pauseProducing()
            else:
                self._producer.resumeProducing()

    def _update_reading(self) -> None:
        if self._fin_received or (self._finishing and not self._output_ended):
            return  # resuming a transport after the end of file would only report the end of file again
        if (self._echo_paused or self._blocked) and not self._output_ended:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()
