"""The same two services on asyncio, or with `--uvloop` on uvloop: `python asyncio_peer.py tcp|udp [--uvloop]`.

As fast as its own means allow, and no corner cut: each 4096 bytes are answered, a client that does not read is not
read from, and at the end of file all that is owed is sent.
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
    """At the end of file both loops close by themselves, when all is written.

    A BufferedProtocol could receive 4096 bytes at a time, and is slower on both loops at everything.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep whom to answer."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer, each 4096 bytes of what the loop has received."""
        if len(data) <= MESSAGE:
            self.transport.write(data + ACKNOWLEDGEMENT)
        else:
            pieces = (data[start : start + MESSAGE] + ACKNOWLEDGEMENT for start in range(0, len(data), MESSAGE))
            self.transport.write(b"".join(pieces))

    def pause_writing(self) -> None:
        """The client does not read."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self.transport.resume_reading()


class Time(asyncio.DatagramProtocol):
    """Four bytes for any datagram."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep whom to answer through."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer."""
        self.transport.sendto(struct.pack("!I", int(time.time())), addr)


async def serve(kind: str) -> None:
    """Listen, say where, and stay."""
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
