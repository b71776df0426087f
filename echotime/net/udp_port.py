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
from twisted.python.failure import Failure

from echotime.logger import Logger
from echotime.net import bpf
from echotime.net.local_address import V4MAPPED_PREFIX, is_local
from echotime.net.owned import LossNotifyingPort, SocketShutDown, is_shut_down
from echotime.net.pktinfo import ANCILLARY_SIZE, SourceAddress
from echotime.net.self_probe import SelfProbe
from echotime.net.sockopt_port import SockoptPortMixin
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.error_queue import read_errors
from echotime.sockopt.meminfo import dropped_datagrams

_UNSPECIFIED_ADDRESSES = frozenset({"0.0.0.0", "::", f"{V4MAPPED_PREFIX}0.0.0.0"})
"""Sources that a neighbour can forge. The kernel sends an answer to one of them to a loopback address."""
_WOULD_BLOCK_ERRNOS = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})


class SingleDatagramPort(LossNotifyingPort, SockoptPortMixin, udp.Port):
    """A UDP port for TimeProtocol, or for any DatagramProtocol that answers where it was asked.

    `sockopts` are the options that were asked for, of which those that fit a UDP socket on `interface` are set,
    over the port's own: SO_REUSEADDR off, which adopted sockets may have on, and IP_PKTINFO or IPV6_RECVPKTINFO on a
    wildcard address. startListening raises CannotListenError or OptionError.

    Datagrams from ports below `min_source_port` are dropped in the kernel. Those from the port's own address and from
    the unspecified address are not answered; nor are those to a broadcast or multicast address, unless
    `answer_broadcast`.

    `errors` counts what could not be received or sent, by call and errno name (``send EINVAL``), the ICMP errors that
    IP_RECVERR reports, and what was not answered for where it came from.
    """

    io_method = "recvmsg and sendmsg, one datagram a call"
    """The system calls in use, for the log."""
    batch_size = 64
    """Datagrams read in one call, so that everybody else in the process gets a turn."""
    _log = Logger()

    def __init__(
        self,
        port: int,
        protocol: DatagramProtocol,
        *,
        interface: str = "",
        sockopts: Sequence[Assignment] = (),
        datagram_size: int = 8192,
        min_source_port: int = 1024,
        answer_broadcast: bool = False,
        reactor: Any = None,
    ) -> None:
        super().__init__(port, protocol, interface, datagram_size, reactor)
        self.errors: Counter[str] = Counter()
        self.min_source_port = min_source_port
        self.answer_broadcast = answer_broadcast
        self.kernel_filtered = False
        """Whether the kernel drops what comes from lower ports; if not, it is done here."""
        self.self_probe = SelfProbe()
        self.select_options("udp", sockopts)

    def createInternetSocket(self) -> Socket:
        """As every port of ours, with the filter for source ports."""
        sock = super().createInternetSocket()
        self._attach_filter(sock)
        return sock

    def _attach_filter(self, sock: Socket) -> None:
        if not self.min_source_port:
            return
        try:
            bpf.attach(sock, self.min_source_port, sock.getsockname()[1] or self.port)
        except OSError as error:
            self._log.warn(
                "datagrams from ports below {port} cannot be dropped by the kernel: {reason}; it is done later",
                port=self.min_source_port,
                reason=errno_name(error),
            )
        else:
            self.kernel_filtered = True

    def set_min_source_port(self, min_source_port: int) -> None:
        """Drop what comes from ports below, from now on."""
        self.min_source_port, self.kernel_filtered = min_source_port, False
        self._attach_filter(self.socket)

    def startListening(self) -> None:
        """Bind, with the filter for source ports; an adopted socket gets it here."""
        if self._preexistingSocket is not None:
            self._attach_filter(self._preexistingSocket)
        super().startListening()

    def doRead(self) -> Exception | None:
        """Hand at most `batch_size` datagrams to the protocol. An exception is returned for a socket that is shut."""
        for number in range(self.batch_size):
            try:
                datagram, ancillary, _flags, address = self.socket.recvmsg(self.maxPacketSize, ANCILLARY_SIZE)
            except OSError as error:
                if error.errno in _WOULD_BLOCK_ERRNOS:
                    return None if number else self._check_shut_down()
                self._handle_receive_error(error)
            else:
                self._deliver(datagram, SourceAddress.from_recvmsg(address, ancillary))
        return None

    def write(self, datagram: bytes, addr: tuple[Any, ...] | None = None) -> None:
        """Answer a datagram, from the address it was sent to. What cannot be sent is counted, never raised."""
        ancillary = addr.ancillary if isinstance(addr, SourceAddress) else ()
        for _ in range(2):
            try:
                self.socket.sendmsg([datagram], ancillary, 0, addr)
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
            return dropped_datagrams(self.socket)
        except OSError:
            return 0

    def readConnectionLost(self, reason: Failure) -> None:
        """What the reactor calls when it sees only an error pending: take it off the queue and go on reading."""
        self._empty_error_queue()
        if self.connected:
            self.startReading()

    def send_self_probe(self, address: tuple[Any, ...]) -> None:
        """Send it a question from its own address; `self_probe` hears the answer. Raises OSError."""
        self.socket.sendto(self.self_probe.token, address)

    def _deliver(self, datagram: bytes, source: SourceAddress) -> None:
        if source[0] in _UNSPECIFIED_ADDRESSES:
            self.errors["from the unspecified address"] += 1
        elif source[1] == self._realPortNumber and is_local(source, self.socket):
            if not self.self_probe.is_reply(datagram, source):
                self._deliver_from_self(datagram, source)
        elif reason := self._reject_reason(source):
            self.errors[reason] += 1
        else:
            self._call_protocol(self.protocol.datagramReceived, datagram, source)

    def _deliver_from_self(self, datagram: bytes, source: SourceAddress) -> None:
        if self.self_probe.is_probe(datagram):
            self._call_protocol(self.protocol.probe_received, source)
        else:
            self.errors["from our own address"] += 1

    def _call_protocol(self, method: Callable[..., object], *args: object) -> None:
        try:
            method(*args)
        except Exception:
            self._log.failure("a datagram could not be handled")

    def _reject_reason(self, source: SourceAddress) -> str:
        """Why nobody there gets an answer; empty for the ordinary."""
        if source[1] < self.min_source_port:
            return "from a low port"
        if source.multicast_destination and not self.answer_broadcast:
            return "to a broadcast or multicast address"
        return ""

    def _check_shut_down(self) -> Exception | None:
        """Called to read where nothing is: a bad checksum, or a socket shut down by another, readable for ever."""
        return SocketShutDown() if is_shut_down(self.socket) else None

    def _handle_receive_error(self, error: OSError) -> None:
        if not self._empty_error_queue():
            self._count("receive", error)

    def _count(self, call: str, error: OSError) -> None:
        self.errors[f"{call} {errno_name(error)}"] += 1
        if error.errno == errno.EPIPE:  # shut down for sending
            self.reactor.callLater(0, self._close_shut_down)

    def _close_shut_down(self) -> None:
        if self.connected:
            self.connectionLost(Failure(SocketShutDown()))

    def _empty_error_queue(self) -> int:
        """Count and discard the errors that IP_RECVERR collects; how many there were, at most `batch_size`."""
        number = len(read_errors(self.socket, self.batch_size))
        if number:
            self.errors["ICMP error"] += number
        return number
