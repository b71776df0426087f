"""EchoConnection, the transport of an accepted connection: one read is one message, and output is sent at once.

It keeps what Twisted promises of a TCP transport: tcp.Server is its parent, and does whatever is out of the ordinary.
It runs on any reactor; ChangelistReactor serves it with less work (echotime.reactor).
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import main, tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProducer, IProtocol
from twisted.python import log
from twisted.python.failure import Failure

from echotime.sockopt.apply import Reading, apply, read
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue import BY_NAME
from echotime.sockopt.tcp_info import acknowledged, tcp_info

_LINGER = BY_NAME["SO_LINGER"]
_NO_LINGER = _LINGER.form.pack(-1)


def close_blocks(asked: Assignment) -> bool:
    """Return True if close(2) would block with this option: SO_LINGER with a time."""
    return asked.option is _LINGER and asked.value not in {-1, 0}


def close(sock: socket.socket, *, lingers: bool) -> None:
    """Close a socket in order without blocking, though SO_LINGER is set (`lingers`).

    shutdown(2), which Twisted calls before, is not needed: the kernel does the same for the last descriptor.
    """
    if lingers:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    sock.close()


class EchoConnection(tcp.Server):
    """An accepted connection that reads one message at a time and sends without waiting for the reactor.

    `port` is the EchoPort that accepted it. It provides echotime.reactor.IChangelistConnection.
    """

    uses_changelist = True
    reactor: Any
    server: Any
    connected = 1
    _holds_output = False
    """True while output must pass the buffer instead of being sent at once."""
    _waits_to_write = False
    """True while the reactor is asked to call doWrite."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: IProtocol,
        client: tuple[Any, ...],
        port: Any,
        sessionno: int,
        reactor: object,
    ) -> None:
        # tcp.Server's own constructor formats names for log lines that are seldom written
        FileDescriptor.__init__(self, reactor)  # type: ignore[arg-type]  # an IReactorFDSet
        sock.setblocking(False)
        self.socket = sock
        self.fileno = sock.fileno
        self.protocol = protocol
        self.server = port
        self._addressType = port._addressType
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        self.bufferSize = self.read_size = port.message_size
        self.lingers: bool = port.lingers
        """True if close(2) would block."""
        self.asked: tuple[Assignment, ...] = port.handed_down
        """Socket options asked for, by the port or for this connection since."""
        port.set_again(sock)
        self.startReading()

    def doRead(self) -> Exception | None:  # type: ignore[override]  # Twisted has the two subclasses used here
        """Hand what one recv(2) of `read_size` bytes returns to the protocol."""
        try:
            data = self.socket.recv(self.read_size)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            return main.CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def write(self, data: bytes) -> None:
        """Send what the kernel takes at once, and buffer the rest. Errors are reported by the next doWrite."""
        if self._holds_output:
            super().write(data)
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            sent = 0
        if sent != len(data):
            super().write(data[sent:])

    def doWrite(self) -> BaseException | int | None:  # type: ignore[override]  # what FileDescriptor's returns
        """Send buffered output; at an ordinary end the last data and the FIN leave in one packet (MSG_MORE)."""
        if self.disconnecting and self.producer is None and not self.dataBuffer:
            last = b"".join(self._tempDataBuffer)
            self._tempDataBuffer.clear()
            self._tempDataLen = 0
            try:
                sent = self.socket.send(last, socket.MSG_MORE) if last else 0
            except OSError:
                sent = 0
            if sent == len(last):
                return main.CONNECTION_DONE
            self.dataBuffer, self.offset = last, sent
        return super().doWrite()  # type: ignore[no-any-return]

    def startWriting(self) -> None:
        """Ask for doWrite; output passes the buffer until then, to stay in order."""
        self._waits_to_write = self._holds_output = True
        self.reactor.addWriter(self)

    def stopWriting(self) -> None:
        """Ask for doWrite no more."""
        self._waits_to_write = False
        self.reactor.removeWriter(self)
        self.release_output()

    def hold_output(self) -> None:
        """Keep output in the buffer until doWrite."""
        self._holds_output = True

    def release_output(self) -> None:
        """Send output at once again, unless it has to pass the buffer.

        It has to while output is pending; for a pull producer, which is asked for more when the buffer is empty;
        and after abortConnection, which discarded what came before.
        """
        pulled = self.producer is not None and not self.streamingProducer
        self._holds_output = self._waits_to_write or pulled or not self.connected or self._aborting

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Register a producer; what a pull producer writes passes the buffer."""
        self._holds_output = self._holds_output or not streaming
        super().registerProducer(producer, streaming)

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket and tell the protocol, with a reset unless all is well: Twisted would send a FIN."""
        if self.disconnected:
            return
        self.disconnected, self.connected, self._holds_output = 1, 0, True
        producer, self.producer = self.producer, None
        if producer is not None:
            try:
                producer.stopProducing()
            except BaseException:
                log.err()
        self.reactor.removeReader(self)
        self.reactor.removeWriter(self)
        if isinstance(reason.value, ConnectionDone):
            self.server.let_go(self.socket, lingers=self.lingers)
        else:
            self._closeSocket(False)
        protocol = self.protocol
        del self.protocol, self.socket, self.fileno
        protocol.connectionLost(reason)

    def change(self, asked: Assignment) -> Reading:
        """Set an option on this connection. Raises OptionFailed."""
        apply(self.socket, [asked])
        self.asked = (*(each for each in self.asked if each.option != asked.option), asked)
        if asked.option is _LINGER:
            self.lingers = close_blocks(asked)
        return read(self.socket, asked)

    def peer_ended(self) -> bool:
        """Return True if the client's FIN has arrived, read or not (state CLOSE_WAIT)."""
        return tcp_info(self.socket).state == "CLOSE_WAIT"

    def taken(self) -> int:
        """Return the number of bytes that the client has acknowledged (tcpi_bytes_acked of TCP_INFO)."""
        return acknowledged(self.socket)

    def logPrefix(self) -> str:
        """Return the name that log lines about this connection begin with."""
        return f"{self._getLogPrefix(self.protocol)},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self.sessionno} of {self.hostname}>"
