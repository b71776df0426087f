"""EchoConnection, the transport of an accepted connection: one read is one message, and output is sent at once.

It keeps Twisted's promises for a TCP transport: its parent tcp.Server handles everything but the common case. It runs
on any reactor; ChangelistReactor serves it with less work (echotime.reactor).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
from typing import Any

from twisted.internet import main, tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProducer, IProtocol
from twisted.python import log
from twisted.python.failure import Failure

from echotime.reactor import RegistrationError
from echotime.sockopt.apply import ReadBack, apply, read_back
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.error_queue import read_errors
from echotime.sockopt.option import SocketTraits
from echotime.sockopt.tcp_info import read_tcp_info
from echotime.wire.message import MESSAGE_SIZE

_LINGER = BY_NAME["SO_LINGER"]
_MAX_ERRORS = 64
"""Maximum messages of the error queue read in one call."""
_NO_LINGER = _LINGER.value_type.pack(-1)
_SAVED_SYN = BY_NAME["TCP_SAVED_SYN"]
_MAX_SYN = 1024
"""Bytes for the headers: link layer, IPv6 with extensions, and TCP."""
_INT = struct.Struct("=i")


def close_blocks(assignment: Assignment) -> bool:
    """Return True if close(2) would block with this option: SO_LINGER with a time."""
    return assignment.option is _LINGER and assignment.value not in {-1, 0}


def _loss_reason(error: OSError) -> Exception:
    """Return ConnectionLost for a client's RST. Other errors, such as ETIMEDOUT, are not the client's doing."""
    return main.CONNECTION_LOST if error.errno in {errno.ECONNRESET, errno.EPIPE} else error


def close_without_blocking(sock: socket.socket, *, lingers: bool) -> None:
    """Close a socket with a FIN and without blocking, even if SO_LINGER is set (`lingers`).

    shutdown(2), which Twisted calls before, is not needed: the kernel does the same for the last descriptor.
    """
    if lingers:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    sock.close()


class EchoConnection(tcp.Server):
    """Read one message at a time from an accepted connection, and send without waiting for the reactor.

    `port` is the EchoPort that accepted it. It provides echotime.reactor.IChangelistConnection.
    """

    uses_changelist = True
    _saved_syn: bytes | None = None
    reactor: Any
    server: Any

    def __init__(
        self,
        sock: socket.socket,
        protocol: IProtocol,
        client: tuple[Any, ...],
        port: Any,
        sessionno: int,
        reactor: Any,
    ) -> None:
        # Does what the constructors of tcp.Server and FileDescriptor do, except formatting names for rare log lines.
        # Their class attributes become instance attributes, which CPython reads faster.
        self.reactor = reactor
        self._tempDataBuffer = []
        self._tempDataLen = 0
        self.dataBuffer = b""
        self.connected = 1
        self.disconnected = self.disconnecting = 0
        self.producer = None
        self._aborting = False
        sock.setblocking(False)
        self.socket = sock
        self.fileno = sock.fileno
        self.protocol = protocol
        self.server = port
        self._addressType = port._addressType
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        self.bufferSize = self.read_size = MESSAGE_SIZE
        self.lingers: bool = port.lingers
        """True if close(2) would block."""
        self.sockopts: tuple[Assignment, ...] = port.inherited_options
        """Requested socket options: those of the port, and those set on this connection since."""
        self._may_hold: bool = port.holds_output
        """True if output may be held for a FIN, because setting TCP_NODELAY flushes it and changes nothing else."""
        self._must_buffer = False
        """True while output must go through the buffer instead of being sent at once."""
        self._writer_registered = False
        """True while registered with the reactor as a writer."""
        self._send_flags = 0
        """MSG_MORE while output is held in the kernel for the FIN, so that both leave in one packet."""
        if port.reapplied_options:
            port.reapply_options(sock)
        reactor.addReader(self)

    def doRead(self) -> Exception | None:  # type: ignore[override]  # Twisted has the two subclasses used here
        """Pass the result of one recv(2) of `read_size` bytes to the protocol."""
        try:
            data = self.socket.recv(self.read_size)
        except BlockingIOError:
            return None
        except OSError as error:
            return _loss_reason(error)
        if not data:
            return main.CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def write(self, data: bytes) -> None:
        """Send what the kernel takes at once, and buffer the rest. Errors are reported by the next doWrite."""
        if self._must_buffer:
            super().write(data)
            return
        try:
            sent = self.socket.send(data, self._send_flags)
        except OSError:
            sent = 0
        if sent != len(data):
            super().write(data[sent:])

    def doWrite(self) -> BaseException | int | None:  # type: ignore[override]  # what FileDescriptor's returns
        """Send buffered output. Close a disconnecting connection when nothing is left to send."""
        if self.disconnecting and not self._tempDataLen and not self.dataBuffer and self.producer is None:
            return main.CONNECTION_DONE
        return super().doWrite()  # type: ignore[no-any-return]

    def startWriting(self) -> None:
        """Register as a writer. Until doWrite, output goes through the buffer to stay in order."""
        self._writer_registered = self._must_buffer = True
        self.reactor.addWriter(self)

    def stopWriting(self) -> None:
        """Unregister as a writer, and send output at once again unless it must go through the buffer.

        It must for a pull producer, which is resumed when the buffer is empty, and after abortConnection, which
        discarded earlier output.
        """
        self._writer_registered = False
        self.reactor.removeWriter(self)
        pulled = self.producer is not None and not self.streamingProducer
        self._must_buffer = pulled or not self.connected or self._aborting

    def hold_output(self) -> None:
        """Hold output in the kernel for a FIN that may follow, if flushing it later has no other effect."""
        if self._may_hold:
            self._send_flags = socket.MSG_MORE

    def release_output(self) -> None:
        """Flush held output, unless the FIN follows at once. Setting TCP_NODELAY flushes; see tcp(7)."""
        if self._send_flags:
            self._send_flags = 0
            if not self.disconnecting or self.producer is not None:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read_error(self) -> Exception | None:
        """Return the error of the socket, if it has one, as with IP_RECVERR. Empty the error queue."""
        number = next(filter(None, read_errors(self.socket, _MAX_ERRORS)), 0)
        return _loss_reason(OSError(number, os.strerror(number))) if number else None

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Register a producer. The output of a pull producer goes through the buffer."""
        if not streaming:
            self._must_buffer = True
        super().registerProducer(producer, streaming)

    def readConnectionLost(self, reason: Failure) -> None:
        """Notify the protocol of the client's FIN. Unlike tcp.Server, do not search for adapters, which is slow."""
        if not IHalfCloseableProtocol.providedBy(self.protocol):
            self.connectionLost(reason)
            return
        try:
            self.protocol.readConnectionLost()
        except BaseException:
            log.err()
            self.connectionLost(Failure())

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket and notify the protocol. After an error send a RST, where Twisted would send a FIN."""
        if self.disconnected:
            return
        if self._writer_registered:
            self.reactor.removeWriter(self)
        self.disconnected, self.connected, self._must_buffer = 1, 0, True
        producer, self.producer = self.producer, None
        if producer is not None:
            try:
                producer.stopProducing()
            except BaseException:
                log.err()
        self.reactor.removeReader(self)
        if isinstance(reason.value, ConnectionDone):
            close_without_blocking(self.socket, lingers=self.lingers)
        else:
            if isinstance(reason.value, RegistrationError):
                self.server.errors[f"epoll_ctl {errno_name(reason.value)}"] += 1
            self._closeSocket(False)
        protocol = self.protocol
        del self.protocol, self.socket, self.fileno
        protocol.connectionLost(reason)

    def set_option(self, assignment: Assignment) -> ReadBack:
        """Set an option on this connection. Raises OptionError."""
        self._stop_holding()
        apply(self.socket, [assignment])
        self.sockopts = (*(each for each in self.sockopts if each.option != assignment.option), assignment)
        if assignment.option is _LINGER:
            self.lingers = close_blocks(assignment)
        return read_back(self.socket, assignment)

    @property
    def kind(self) -> SocketTraits:
        return SocketTraits("tcp", frozenset({6 if self.socket.family == socket.AF_INET6 else 4}))

    def read_back(self) -> list[ReadBack]:
        """Return the requested and the effective value of each requested option that fits this connection."""
        return [read_back(self.socket, each) for each in self.sockopts if each.fits(self.kind)]

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Switch TCP_NODELAY on or off; see tcp(7)."""
        self._stop_holding()
        super().setTcpNoDelay(enabled)

    def _stop_holding(self) -> None:
        """Flush held output for good before an option changes: a later flush could change TCP_NODELAY back."""
        self.release_output()
        self._may_hold = False

    def peer_half_closed(self) -> bool:
        """Return True if the client's FIN has arrived, read or not (state CLOSE_WAIT)."""
        return read_tcp_info(self.socket).state == "CLOSE_WAIT"

    def round_trip_time(self) -> float:
        return read_tcp_info(self.socket).rtt

    def segment_size(self) -> int:
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)

    def received_ttl(self) -> int:
        """Return the TTL with which the client's handshake arrived.

        TCP gives no ancillary data. But Linux keeps the TTL of the segment that completes the handshake, as the default
        for multicast, which TCP has no use for (tcp_v4_syn_recv_sock, tcp_v6_syn_recv_sock).
        """
        if self.socket.family == socket.AF_INET6:
            return self.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS)
        return self.socket.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL)

    def saved_syn(self) -> bytes:
        """Return the IP and TCP headers of the client's SYN, empty unless TCP_SAVE_SYN is on for the listener.

        They are kept here, because the kernel discards them when they are read. Raises OSError.
        """
        if self._saved_syn is None:
            self._saved_syn = self.socket.getsockopt(socket.IPPROTO_TCP, _SAVED_SYN.number, _MAX_SYN)
        return self._saved_syn

    def send_buffer(self) -> int:
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    def unsent_bytes(self) -> int:
        """Return the number of bytes in the buffer of this transport."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def unacked_bytes(self) -> int:
        """Return the number of bytes in this buffer, and in the kernel's send queue (SIOCOUTQ, see tcp(7))."""
        (in_kernel,) = _INT.unpack(fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(_INT.size)))
        return int(in_kernel) + self.unsent_bytes()

    def logPrefix(self) -> str:
        """Return the prefix of log lines about this connection."""
        return f"{self._getLogPrefix(self.protocol)},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self.sessionno} of {self.hostname}>"
