"""Serve echo and time on asyncio, or with `--uvloop` on uvloop: `python asyncio_peer.py tcp|udp [--uvloop]`.

The peer is as fast as asyncio allows and does the same work: it acknowledges each 4096 bytes, stops reading from a
client that does not read, and sends all pending output at the end of file.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from typing import cast

ACKNOWLEDGEMENT = b"\nI get it!\n"
MESSAGE = 4096


class Echo(asyncio.Protocol):
    """Echo messages; at the end of file both loops close the connection once all output is sent.

    A BufferedProtocol could receive 4096 bytes at a time, and is slower on both loops in every workload.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Echo what the loop has received, with an acknowledgement after each 4096 bytes."""
        if len(data) <= MESSAGE:
            self.transport.write(data + ACKNOWLEDGEMENT)
        else:
            pieces = (data[start : start + MESSAGE] + ACKNOWLEDGEMENT for start in range(0, len(data), MESSAGE))
            self.transport.write(b"".join(pieces))

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Time(asyncio.DatagramProtocol):
    """Answer each datagram with the time in four bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(struct.pack("!I", int(time.time())), addr)


async def serve(kind: str) -> None:
    """Listen, print the port, and serve until the process is ended."""
    loop = asyncio.get_running_loop()
    if kind == "tcp":
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
        address = server.sockets[0].getsockname()
    else:
        transport, _ = await loop.create_datagram_endpoint(Time, ("127.0.0.1", 0))
        address = transport.get_extra_info("sockname")
    print("port", address[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    asyncio.run(serve(sys.argv[1]))
