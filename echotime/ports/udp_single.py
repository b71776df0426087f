"""SingleDatagramPort, a UDP port that works with recvmsg(2) and sendmsg(2), one datagram a call.

It is the base of TimePort, and what that falls back to. It sets socket options by name, and no datagram can stop it.

Three things differ from Twisted's own port: a call reads a bounded number of datagrams, however short
they are; no OSError leaves it, as the reactor would close the port; and an answer leaves from the
address that was asked.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Sequence
from socket import socket as Socket
from typing import Any

from twisted.internet import udp
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from echotime.ports import port_filter
from echotime.ports.asked_address import CONTROL_SIZE, Sender
from echotime.ports.optioned import OptionedPort
from echotime.ports.own_address import MAPPED, is_ours
from echotime.ports.owned import OwnedPort, ShutDown, is_shut_down
from echotime.ports.self_asked import SelfAsked
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.error_queue import take_errors
from echotime.sockopt.meminfo import dropped

_UNSPECIFIED = frozenset({"0.0.0.0", "::", f"{MAPPED}0.0.0.0"})
"""Sources that a neighbour can forge. The kernel sends an answer to one of them to a loopback address."""
_NOTHING_THERE = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})


class SingleDatagramPort(OwnedPort, OptionedPort, udp.Port):
    """A UDP port for TimeProtocol, or for any DatagramProtocol that answers where it was asked.

    `asked` are the options that were asked for, of which those that fit a UDP socket on `interface` are set,
    over the port's own: SO_REUSEADDR off, which adopted sockets may have on, and IP_PKTINFO or IPV6_RECVPKTINFO on a
    wildcard address. startListening raises CannotListenError or OptionFailed.

    Datagrams from ports below `lowest_port` are dropped in the kernel. Those from the port's own address and from the
    unspecified address are not answered; nor are those to a broadcast or multicast address, unless `answer_broadcast`.

    `errors` counts what could not be received or sent, by call and errno name (``send EINVAL``), the ICMP errors that
    IP_RECVERR reports, and what was not answered for where it came from.
    """

    io_method = "recvmsg and sendmsg, one datagram a call"
    """The system calls in use, for the log."""
    batch = 64
    """Datagrams read in one call, so that everybody else in the process gets a turn."""
    _log = Logger()

    def __init__(
        self,
        port: int,
        protocol: DatagramProtocol,
        *,
        interface: str = "",
        asked: Sequence[Assignment] = (),
        datagram_size: int = 8192,
        lowest_port: int = 1024,
        answer_broadcast: bool = False,
        reactor: Any = None,
    ) -> None:
        super().__init__(port, protocol, interface, datagram_size, reactor)
        self.errors: Counter[str] = Counter()
        self.lowest_port = lowest_port
        self.answer_broadcast = answer_broadcast
        self.filtered = False
        """Whether the kernel drops what comes from lower ports; if not, it is done here."""
        self.self_asked = SelfAsked()
        self.take_options("udp", asked)

    def createInternetSocket(self) -> Socket:
        """As every port of ours, with the filter for source ports."""
        sock = super().createInternetSocket()
        self._filter(sock)
        return sock

    def _filter(self, sock: Socket) -> None:
        if not self.lowest_port:
            return
        try:
            port_filter.attach(sock, self.lowest_port, sock.getsockname()[1] or self.port)
        except OSError as error:
            self._log.warn(
                "datagrams from ports below {port} cannot be dropped by the kernel: {reason}; it is done later",
                port=self.lowest_port,
                reason=errno_name(error),
            )
        else:
            self.filtered = True

    def answer_from(self, lowest_port: int) -> None:
        """Drop what comes from ports below, from now on."""
        self.lowest_port, self.filtered = lowest_port, False
        self._filter(self.socket)

    def startListening(self) -> None:
        """Bind, with the filter for source ports; an adopted socket gets it here."""
        if self._preexistingSocket is not None:
            self._filter(self._preexistingSocket)
        super().startListening()

    def doRead(self) -> Exception | None:
        """Hand at most `batch` datagrams to the protocol. An exception is returned for a socket that is shut."""
        for number in range(self.batch):
            try:
                datagram, control, _flags, address = self.socket.recvmsg(self.maxPacketSize, CONTROL_SIZE)
            except OSError as error:
                if error.errno in _NOTHING_THERE:
                    return None if number else self._why_nothing()
                self._not_received(error)
            else:
                self._deliver(datagram, Sender.of(address, control))
        return None

    def write(self, datagram: bytes, addr: tuple[Any, ...] | None = None) -> None:
        """Answer a datagram, from the address it was sent to. What cannot be sent is counted, never raised."""
        control = addr.control if isinstance(addr, Sender) else ()
        for _ in range(2):
            try:
                self.socket.sendmsg([datagram], control, 0, addr)
            except OSError as error:
                if not self._empty_error_queue():
                    self._count("send", error)
                    return
                # the error was about an earlier answer, and this one has not been tried yet
            else:
                return

    @property
    def dropped(self) -> int:
        """How many datagrams the kernel threw away, mostly as the receive buffer was full; 0 if it does not tell."""
        try:
            return dropped(self.socket)
        except OSError:
            return 0

    def readConnectionLost(self, reason: Failure) -> None:
        """What the reactor calls when it sees only an error pending: take it off the queue and go on reading."""
        self._empty_error_queue()
        if self.connected:
            self.startReading()

    def ask_itself(self, address: tuple[Any, ...]) -> None:
        """Send it a question from its own address; `self_asked` hears the answer. Raises OSError."""
        self.socket.sendto(self.self_asked.question, address)

    def _deliver(self, datagram: bytes, sender: Sender) -> None:
        if sender[0] in _UNSPECIFIED:
            self.errors["from the unspecified address"] += 1
        elif sender[1] == self._realPortNumber and is_ours(sender, self.socket):
            if not self.self_asked.answers(datagram, sender):
                self._deliver_own(datagram, sender)
        elif reason := self._unanswerable(sender):
            self.errors[reason] += 1
        else:
            self._call(self.protocol.datagramReceived, datagram, sender)

    def _deliver_own(self, datagram: bytes, sender: Sender) -> None:
        if self.self_asked.asks(datagram):
            self._call(self.protocol.own_question_received, sender)
        else:
            self.errors["from our own address"] += 1

    def _call(self, method: Callable[..., object], *args: object) -> None:
        try:
            method(*args)
        except Exception:
            self._log.failure("a datagram could not be handled")

    def _unanswerable(self, sender: Sender) -> str:
        """Why nobody there gets an answer; empty for the ordinary."""
        if sender[1] < self.lowest_port:
            return "from a low port"
        if sender.asked_many and not self.answer_broadcast:
            return "to a broadcast or multicast address"
        return ""

    def _why_nothing(self) -> Exception | None:
        """Called to read where nothing is: a bad checksum, or a socket shut down by another, readable for ever."""
        return ShutDown() if is_shut_down(self.socket) else None

    def _not_received(self, error: OSError) -> None:
        if not self._empty_error_queue():
            self._count("receive", error)

    def _count(self, call: str, error: OSError) -> None:
        self.errors[f"{call} {errno_name(error)}"] += 1
        if error.errno == errno.EPIPE:  # shut down for sending
            self.reactor.callLater(0, self._mute)

    def _mute(self) -> None:
        if self.connected:
            self.connectionLost(Failure(ShutDown()))

    def _empty_error_queue(self) -> int:
        """Count and discard the errors that IP_RECVERR collects; how many there were, at most `batch`."""
        number = len(take_errors(self.socket, self.batch))
        if number:
            self.errors["ICMP error"] += number
        return number
