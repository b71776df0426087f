"""SingleDatagramPort, a UDP port that works with recvmsg(2) and sendmsg(2), one datagram a call.

It is the base of TimePort, and its fallback. It differs from Twisted's own port in three ways. A call reads a bounded
number of datagrams. No OSError leaves doRead or write, because the reactor would close the port. A reply leaves from
the address that the datagram was sent to.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Sequence
from socket import socket as Socket
from typing import Any

from twisted.internet import udp
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from echotime.logger import Logger
from echotime.net import bpf
from echotime.net.local_address import UNSPECIFIED_ADDRESSES, is_local, is_unicast
from echotime.net.owned import LossNotifyingPort, SocketShutDown, is_shut_down
from echotime.net.pktinfo import ANCILLARY_SIZE, DESTINATION_OPTIONS, SourceAddress
from echotime.net.self_probe import SelfProbe
from echotime.net.sockopt_port import SockoptPortMixin
from echotime.sockopt.apply import ReadBack
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.error_queue import read_errors
from echotime.sockopt.meminfo import dropped_datagrams

_WOULD_BLOCK_ERRNOS = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})


class SingleDatagramPort(LossNotifyingPort, SockoptPortMixin, udp.Port):
    """A UDP port for TimeProtocol, which decides what is answered, or for another provider of IBatchResponder.

    Of the requested `sockopts` those that fit a UDP socket on `interface` are set. They override the port's own:
    SO_REUSEADDR off, which adopted sockets may have on, and IP_PKTINFO or IPV6_RECVPKTINFO on a wildcard address.
    startListening raises CannotListenError or OptionError.

    The kernel drops datagrams from ports below `min_source_port`; if it cannot, the protocol has to refuse them.

    `errors` counts failed system calls by call and errno name (``send EINVAL``), and the ICMP errors that IP_RECVERR
    reports.
    """

    io_method = "recvmsg and sendmsg, one datagram a call"
    """The system calls in use, for the log."""
    batch_size = 64
    """Datagrams that one doRead serves before it returns to the reactor."""
    _error_budget = batch_size
    """ICMP errors that may still be discarded before the return to the reactor."""
    _log = Logger()

    def __init__(
        self,
        port: int,
        protocol: DatagramProtocol,
        *,
        interface: str = "",
        sockopts: Sequence[Assignment] = (),
        datagram_size: int = 8192,
        min_source_port: int = 0,
        reactor: Any = None,
    ) -> None:
        super().__init__(port, protocol, interface, datagram_size, reactor)
        self.errors: Counter[str] = Counter()
        self.min_source_port = min_source_port
        self.kernel_filtered = False
        """True if the kernel drops datagrams from lower ports."""
        self.self_probe = SelfProbe()
        self._destination_levels: set[int] = set()
        """Protocol levels at which the port itself switched on the report of destinations."""
        self.select_options("udp", sockopts)

    def createInternetSocket(self) -> Socket:
        sock = super().createInternetSocket()
        self._attach_filter(sock)
        return sock

    def _bindSocket(self) -> None:
        # udp.Port binds to (host, port), without the interface of a link-local address
        if self._preexistingSocket is None:
            try:
                sock = self.createInternetSocket()
                sock.bind(self._sockaddr)
            except OSError as error:
                raise CannotListenError(self.interface, self.port, error) from error
            self._preexistingSocket = sock
        super()._bindSocket()

    def _attach_filter(self, sock: Socket) -> None:
        self.kernel_filtered = False
        if not self.min_source_port:
            return
        try:
            bpf.attach(sock, self.min_source_port, sock.getsockname()[1] or self.port)
        except OSError as error:
            self._log.warn(
                "datagrams from ports below {port} cannot be dropped by the kernel: {reason}; the daemon refuses them",
                port=self.min_source_port,
                reason=errno_name(error),
            )
        else:
            self.kernel_filtered = True

    def set_min_source_port(self, min_source_port: int) -> bool:
        """Drop datagrams from lower ports from now on. Return False if the kernel keeps a filter that drops more.

        It keeps the filter of a socket with SO_LOCK_FILTER.
        """
        previous, was_filtered = self.min_source_port, self.kernel_filtered
        self.min_source_port = min_source_port
        self._attach_filter(self.socket)
        if was_filtered and not self.kernel_filtered and min_source_port < previous:
            self.min_source_port, self.kernel_filtered = previous, True
            return False
        self._report_filter()
        return True

    def startListening(self) -> None:
        if self._preexistingSocket is not None:
            self._attach_filter(self._preexistingSocket)
        super().startListening()
        self._report_filter()
        self._report_destinations()

    def _report_filter(self) -> None:
        # the filter lets the socket's own port pass, for its probes
        kernel_drops_all = self.kernel_filtered and self.getHost().port >= self.min_source_port
        self.protocol.policy.set_min_source_port(0 if kernel_drops_all else self.min_source_port)

    def set_option(self, assignment: Assignment) -> ReadBack:
        reading = super().set_option(assignment)
        self._report_destinations()
        return reading

    def _report_destinations(self) -> None:
        """Make the kernel report destinations that may be broadcast or multicast addresses, if no other option does.

        On a unicast address no other datagram arrives. IP_PKTINFO and IPV6_RECVPKTINFO report destinations, too, but an
        operator may switch them off to let the route choose the source of replies.
        """
        is_reported = is_unicast(self.socket.getsockname(), self.socket)
        for level, pktinfo, original_destination in DESTINATION_OPTIONS[self.addressFamily]:
            is_reported = is_reported or bool(self.socket.getsockopt(level, pktinfo))
            if is_reported == (level in self._destination_levels):
                self.socket.setsockopt(level, original_destination, not is_reported)
                self._destination_levels ^= {level}

    def doRead(self) -> Exception | None:
        """Serve at most `batch_size` datagrams. Return an exception if the socket was shut down."""
        self._error_budget = self.batch_size
        for number in range(self.batch_size):
            try:
                datagram, ancillary, _flags, address = self.socket.recvmsg(self.maxPacketSize, ANCILLARY_SIZE)
            except OSError as error:
                if error.errno in _WOULD_BLOCK_ERRNOS:
                    return None if number else self._check_shut_down()
                self._handle_receive_error(error)
            else:
                source = SourceAddress.from_recvmsg(address, ancillary)
                source.size = len(datagram)
                self._deliver(datagram, source)
        return None

    def write(self, datagram: bytes, addr: tuple[Any, ...] | None = None) -> None:
        """Send a reply from the address that the datagram was sent to. Count an error instead of raising it."""
        ancillary = addr.ancillary if isinstance(addr, SourceAddress) else ()
        for _ in range(2):
            try:
                self.socket.sendmsg([datagram], ancillary, 0, addr)
            except OSError as error:
                if not self._empty_error_queue():
                    self._count("send", error)
                    break
                # the error belonged to an earlier reply, and this one has not been tried yet
            else:
                return
        if isinstance(addr, SourceAddress):
            addr.reply_failed = True

    @property
    def dropped(self) -> int:
        """The number of datagrams that the kernel dropped: no space in the receive buffer, or filtered.

        0 if the kernel does not report it (before Linux 4.12).
        """
        try:
            return dropped_datagrams(self.socket)
        except OSError:
            return 0

    def readConnectionLost(self, reason: Failure) -> None:
        # called by the reactor for a pending ICMP error without a datagram
        self._error_budget = self.batch_size
        self._empty_error_queue()
        if self.connected:
            self.startReading()

    def send_self_probe(self, address: tuple[Any, ...]) -> None:
        """Send a probe to the socket's own address; `self_probe` receives the reply. Raises OSError."""
        self.socket.sendto(self.self_probe.token, address)

    def _deliver(self, datagram: bytes, source: SourceAddress) -> None:
        if source[0] in UNSPECIFIED_ADDRESSES:
            source.is_unspecified = True
        elif source[1] == self._realPortNumber and is_local(source, self.socket):
            if self.self_probe.is_reply(datagram, source):
                return
            if self.self_probe.is_probe(datagram):
                self._call_protocol(self.protocol.probe_received, source)
                return
            source.is_own_address = True
        else:
            if source.destination is not None and not is_unicast(source.destination, self.socket):
                source.multicast_destination = True
            source.ordinary = not source.multicast_destination
        self._call_protocol(self.protocol.datagramReceived, datagram, source)

    def _call_protocol(self, method: Callable[..., object], *args: object) -> None:
        try:
            method(*args)
        except Exception:
            self._log.failure("a datagram could not be handled")

    def _check_shut_down(self) -> Exception | None:
        # a readable socket without a datagram: a bad checksum, or a socket that another process shut down
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
        """Count and discard the ICMP errors that IP_RECVERR queues. Return their number.

        The budget bounds the time that a flood of forged errors takes from other clients. Beyond it one error is read
        for each system call that an error made fail.
        """
        number = len(read_errors(self.socket, max(1, self._error_budget)))
        self._error_budget -= number
        if number:
            self.errors["ICMP error"] += number
        return number
