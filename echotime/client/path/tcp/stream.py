"""Make a TCP connection whose every byte and end an experiment can see."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from echotime.client.connect import connect_timeout
from echotime.client.exit_status import ClientError
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.channel import Channel
from echotime.wire.hostport import HostPort

CONNECT_SECONDS = 5.0
_SEND_SECONDS = 3.0
_EXCHANGE_SECONDS = 8.0
"""Time after which a slow exchange ends although bytes still come."""
_MAX_SECONDS = 10.0
"""Time for which more than was awaited may come. A server could send for ever."""
_MAX_RECEIVED = 1 << 26
_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close(2) send a RST."""
FIN, RST, TOO_MUCH = "FIN", "RST", "too much data"
"""How the far end ended a connection, or why nothing more is read."""


class Stream:
    """Hold a connection, and what was received on it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._clock = channel.reactor
        self.received = bytearray()
        self.arrivals: list[tuple[float, int]] = []
        """For each recv(2): the time, and the bytes."""
        self.end: str | None = None
        """FIN, RST, TOO_MUCH, or the name of another error; None while the connection is open."""
        self.ended_at = 0.0
        self.was_slow = False
        """True if bytes still came when the time for an exchange had passed."""
        self.sent = 0
        """Bytes that the kernel took, without the line that asks for a behavior."""

    @property
    def socket(self) -> socket.socket:
        return self._channel.socket

    @property
    def own(self) -> HostPort:
        """The address of this end."""
        return HostPort.from_sockaddr(self.socket.getsockname())

    def seconds(self) -> float:
        """Return the time of the reactor."""
        return float(self._clock.seconds())

    async def send(self, data: bytes, seconds: float) -> bool:
        """Send all of it within `seconds`. Return False if the time or the connection ended first."""
        view = memoryview(data)
        deadline = self.seconds() + seconds
        while view and self.end is None:
            try:
                count = self.socket.send(view[:_CHUNK])
            except BlockingIOError:
                if not await self._channel.writable(deadline - self.seconds()):
                    return False
                continue
            except OSError as error:
                self._ended(error)
                return False
            view = view[count:]
            self.sent += count
        return not view

    async def read_until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Receive until `done`, or the end, or until nothing came for `seconds`. Return what `done` says."""
        deadline = self.seconds() + seconds + _MAX_SECONDS
        while not done() and self.end is None and self.seconds() < deadline:
            try:
                data = self.socket.recv(_CHUNK)
            except BlockingIOError:
                if not await self._channel.readable(seconds):
                    break
                continue
            except OSError as error:
                self._ended(error)
                break
            now = self.seconds()
            if not data:
                self.end, self.ended_at = FIN, now
                break
            self.arrivals.append((now, len(data)))
            self.received += data
            if len(self.received) > _MAX_RECEIVED:
                self.end, self.ended_at = TOO_MUCH, now
        return done()

    async def read_to_end(self, seconds: float) -> None:
        """Receive until the end, or until nothing came for `seconds`."""
        await self.read_until(lambda: False, seconds)

    def _ended(self, error: OSError) -> None:
        number = error.errno or 0
        is_reset = number in {errno.ECONNRESET, errno.EPIPE}
        self.end, self.ended_at = RST if is_reset else errno.errorcode.get(number, str(number)), self.seconds()

    def half_close(self) -> None:
        """Send a FIN, after which nothing may be sent."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:  # ENOTCONN after a RST
            if error.errno != errno.ENOTCONN:
                raise

    def reset(self) -> None:
        """Close the connection with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """Close the socket, unless it is closed."""
        self._channel.close()


async def open_stream(
    reactor: Any,
    address: ResolvedAddress,
    *,
    prepare: Callable[[socket.socket], object] = lambda sock: None,
    protocol: int = socket.IPPROTO_TCP,
    first: bytes = b"",
) -> Stream:
    """Return a connection, with TCP_NODELAY, on which `first` was sent. Raises ClientError.

    `prepare` sets options before connect(2).
    """
    sock = socket.socket(address.family, socket.SOCK_STREAM, protocol)
    channel = Channel(reactor, sock)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        prepare(sock)
        number = sock.connect_ex(address.hostport.sockaddr())
        stream = Stream(channel)
        if number == errno.EINPROGRESS:
            if not await channel.writable(CONNECT_SECONDS):
                raise connect_timeout()
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        await stream.send(first, CONNECT_SECONDS)
        stream.sent = 0
    except OSError as error:
        channel.close()
        raise ClientError.from_errno(error.errno or 0) from error
    except BaseException:
        channel.close()
        raise
    return stream


async def exchange(
    stream: Stream, data: bytes, done: Callable[[], bool], stalled: float, *, half_close: bool = False
) -> float:
    """Send for at most 3 s, and receive until `done`, the end, or `stalled` seconds without a byte.

    A slow exchange ends after 8 s. With `half_close`, a FIN follows what was sent. Return the time at which sending
    ended.
    """

    async def send() -> float:
        await stream.send(data, _SEND_SECONDS)
        if half_close:
            stream.half_close()
        return stream.seconds()

    deadline = stream.seconds() + _EXCHANGE_SECONDS

    def ended() -> bool:
        stream.was_slow = stream.seconds() > deadline
        return bool(sending.called and (done() or stream.was_slow))

    sending = Deferred.fromCoroutine(send())
    await stream.read_until(ended, stalled)
    return await sending
