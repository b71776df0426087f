"""Test large reads: their cost in memory, and that a stream comes back exactly."""

from __future__ import annotations

import contextlib
import resource
import select
import socket

from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, read_exactly
from tests.support.twistd_process import LIMIT, DaemonTestCase

CLIENTS = 1000
BUFFERED = 16 * 2**20
"""Bytes that all connections together may buffer beyond 4 KiB each (services.large_reads)."""
OVERHEAD = 6 * 1024
"""Bytes of memory that Python needs per connection, with allocator overhead."""


class LargeReadTests(DaemonTestCase):
    """Let clients stream, with or without reading."""

    def test_stream(self) -> None:
        """Megabytes sent without waiting come back with acknowledgements in the right places."""
        daemon = self.echotime("--log-message-rate", "0")
        block = bytes(range(256)) * 1024
        sent = received = 0
        with connect(daemon.address("TCP")) as sock:
            sock.setblocking(False)
            answer = bytearray()
            while sent < 40 * len(block):
                readable, writable, _ = select.select([sock], [sock], [], LIMIT)
                if writable:
                    at = sent % len(block)
                    sent += sock.send(block[at:])
                if readable:
                    answer += sock.recv(1 << 20)
            sock.setblocking(True)
            sock.settimeout(LIMIT)
            sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(1 << 20):
                answer += piece
        # no byte of the block begins an acknowledgement where a message may end, so splitting is safe
        for message in bytes(answer).split(ACKNOWLEDGEMENT):
            self.assertLessEqual(len(message), 4096)
            self.assertEqual(message, (block * 2)[received % len(block) :][: len(message)])
            received += len(message)
        self.assertEqual(received, sent)
        self.assertIn(f"bytes in: {sent}, bytes out: {len(answer)}", self.served(daemon).out)

    def test_clients_that_never_read(self) -> None:
        """Many clients that never read cost 4 KiB each and 16 MiB together; others are served meanwhile."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 2 * CLIENTS:
            self.skipTest(f"{2 * CLIENTS} descriptors are needed, the limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * CLIENTS), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        # kernel buffers small enough to fill the daemon's own, and large enough for large reads
        buffers = ("--sockopt", "tcp:SO_SNDBUF=128K", "--sockopt", "tcp:SO_RCVBUF=256K")
        daemon = self.echotime(*buffers, "--log-message-rate", "0", "--max-per-source", str(CLIENTS + 10))
        address = daemon.address("TCP")
        with connect(address) as sock:
            sock.sendall(b"warm up")
            read_exactly(sock, len(b"warm up" + ACKNOWLEDGEMENT))
        before = daemon.resident()
        with contextlib.ExitStack() as stack:
            clients = []
            for _ in range(CLIENTS):
                client = stack.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(address)
                client.setblocking(False)
                clients.append(client)
            for _ in range(4):
                for each in clients:
                    with contextlib.suppress(BlockingIOError):
                        while each.send(bytes(65536)):
                            pass
                with connect(address) as sock:
                    sock.settimeout(LIMIT)
                    sock.sendall(b"meanwhile")
                    read_exactly(sock, len(b"meanwhile" + ACKNOWLEDGEMENT))
            grown = daemon.resident() - before
        self.assertLess(grown, CLIENTS * (4096 + OVERHEAD) + BUFFERED, f"{grown / CLIENTS:.0f} bytes each")
        # otherwise the clients had no large reads, and the test shows nothing
        self.assertGreater(grown, CLIENTS * 4096 + BUFFERED // 2, f"{grown / CLIENTS:.0f} bytes each")
        daemon.kill()
