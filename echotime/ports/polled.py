"""PolledPort, the TCP port for Linux: its connections are served by a Poller, and send at once.

What Twisted promises of a transport holds: its classes are the parents, and what is not the ordinary case is theirs.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import main
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IProducer, IProtocol
from twisted.python import log
from twisted.python.failure import Failure

from echotime.ports.connection import Connection
from echotime.ports.poller import Poller
from echotime.ports.tcp import EchoPort


class PolledConnection(Connection):
    """An accepted connection that reads one message at a time, and writes without waiting for the reactor."""

    reactor: Any
    """The poller."""
    connected = 1
    buffers = False
    """Whether what is written has to pass the buffer instead of being sent at once."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: IProtocol,
        client: tuple[Any, ...],
        server: PolledPort,
        sessionno: int,
        reactor: object,
    ) -> None:
        # not tcp.Server's own: it makes names for log lines that are seldom written, and blocks and unblocks
        FileDescriptor.__init__(self, server.poller)
        sock.setblocking(False)
        self.socket = sock
        self.fileno = sock.fileno
        self.protocol = protocol
        self.server = server
        self._addressType = server._addressType
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        self.bufferSize = server.message_size
        self.lingers = server.lingers
        self.asked = server.handed_down
        server.set_again(sock)
        self.startReading()

    def doRead(self) -> Exception | None:  # type: ignore[override]  # Twisted knows two, and means these
        """Hand one message to the protocol."""
        try:
            message = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not message:
            return main.CONNECTION_DONE
        self.protocol.dataReceived(message)
        return None

    def write(self, data: bytes) -> None:
        """Send at once what the kernel takes; the rest, and what goes wrong, is the parent's, and told later."""
        if self.buffers:
            super().write(data)
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            sent = 0
        if sent != len(data):
            super().write(data[sent:])

    def doWrite(self) -> BaseException | int | None:  # type: ignore[override]  # what FileDescriptor's returns
        """As the parent's; but an ordinary end sends what is left and the end of the connection in one packet."""
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
        """There is something to write, or to do when all is written."""
        self.buffers = True
        self.reactor.addWriter(self)

    def stopWriting(self) -> None:
        """There is not."""
        self.reactor.removeWriter(self)
        self.send_at_once()

    def send_at_once(self) -> None:
        """Let what is written leave without waiting, if nothing stands against it.

        A pull producer is asked for more when what it wrote has left the buffer, so that has to pass there. After
        abortConnection nothing leaves: it would follow what was thrown away.
        """
        pulled = self.producer is not None and not self.streamingProducer
        self.buffers = pulled or not self.connected or self._aborting or self.reactor.writes(self)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """What a pull producer writes passes the buffer."""
        self.buffers = self.buffers or not streaming
        super().registerProducer(producer, streaming)

    def connectionLost(self, reason: Failure) -> None:
        """It is over: what Connection's and its parents' do, in one go."""
        if self.disconnected:
            return
        self.disconnected, self.connected, self.buffers = 1, 0, True
        producer, self.producer = self.producer, None
        if producer is not None:
            try:
                producer.stopProducing()
            except BaseException:
                log.err()
        self.reactor.forget(self)
        self.close_socket(reason)
        protocol = self.protocol
        del self.protocol, self.socket, self.fileno
        protocol.connectionLost(reason)

    def logPrefix(self) -> str:
        """For log lines about it."""
        return f"{self._getLogPrefix(self.protocol)},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self.sessionno} of {self.hostname}>"


class PolledPort(EchoPort):
    """An EchoPort whose connections are watched by a Poller of their own."""

    path = "a poller of its own"
    factory: Any
    transport = PolledConnection  # type: ignore[assignment]  # its constructor wants a PolledPort, which this is

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.poller = Poller(self.reactor)

    def startListening(self) -> None:
        """With the poller ready."""
        self.poller.open()
        try:
            super().startListening()
        except BaseException:
            self.poller.retire()
            raise

    def doRead(self) -> Exception | None:
        """Accept, and read at once what is there: who sends as soon as it connects is answered in the same turn."""
        with self.poller.one_turn():
            return super().doRead()

    def began(self, connection: PolledConnection) -> None:
        """Read it now."""
        self.poller.read(connection)

    def connectionLost(self, reason: Any = None) -> None:
        """It accepts no more."""
        super().connectionLost(reason)
        self.poller.retire()
