"""Attack TCP streams: half-close, late replies, readers that do not read, a stop while clients send."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.hostile.daemons import Daemons, descriptors
from tests.hostile.figures import Figure, exactly
from tests.hostile.timing import wait_until
from tests.support.plain_clients import (
    ACKNOWLEDGEMENT,
    connect,
    duplex,
    one_shot,
    read_all,
    read_exactly,
    sent_by_duplex,
    split_answers,
)

_MB = 1_000_000


def missing(expected: bytes, came: bytes) -> int:
    """Return the number of missing bytes, at least 1 if the bytes differ."""
    return 0 if came == expected else max(1, len(expected) - len(came))


def half_close(daemons: Daemons, runs: int = 10_000) -> Iterator[Figure]:
    """Half-close: a client sends and half-closes at once, upon which Twisted discards the pending output."""
    with daemons.start("--log-message-rate", "0") as daemon:
        address = daemon.address("TCP")
        short = [b"%010d" % number for number in range(runs)]
        lost = sum(missing(each + ACKNOWLEDGEMENT, one_shot(address, each)) for each in short)
        yield exactly(f"bytes lost of 10, {runs} runs", lost, 0)
        for size, times in ((100_000, max(1, runs // 100)), (5 * _MB, max(1, runs // 3000))):
            lost = sum(_lost_of_stream(address, size) for _ in range(times))
            yield exactly(f"bytes lost of {size}, {times} runs", lost, 0)


def _lost_of_stream(address: tuple[str, int], size: int) -> int:
    return missing(sent_by_duplex(size), b"".join(split_answers(duplex(address, size), ACKNOWLEDGEMENT)))


def late_replies(daemons: Daemons, clients: int = 100, seconds: float = 2.0) -> Iterator[Figure]:
    """Late replies: an operator replies long after the clients' ends of file."""
    reads, writes = os.pipe()
    with (
        os.fdopen(writes, "wb") as operator,
        os.fdopen(reads, "rb") as stdin,
        daemons.start("--operator", "--max-questions-per-source", str(clients), stdin=stdin.fileno()) as daemon,
    ):
        socks = [connect(daemon.address("TCP")) for _ in range(clients)]
        for number, sock in enumerate(socks):
            sock.sendall(b"question %03d" % number)
            sock.shutdown(socket.SHUT_WR)
        echoes = [read_exactly(sock, 12 + len(ACKNOWLEDGEMENT)) for sock in socks]
        time.sleep(seconds)
        too_early = select.select(socks, [], [], 0)[0]
        replies = [b"reply %03d" % number for number in range(clients)]
        operator.write(b"".join(reply + b"\n" for reply in replies))
        operator.flush()
        came = [read_all(sock) for sock in socks]
        for sock in socks:
            sock.close()
    wrong = sum(each != b"question %03d" % number + ACKNOWLEDGEMENT for number, each in enumerate(echoes))
    yield exactly("wrong echoes", wrong + len(too_early), 0)
    yield exactly(f"replies that arrived {seconds:g} s after the end of file", len({*came} & {*replies}), clients)


def never_reads(daemons: Daemons, total: int = 400 * _MB, others: int = 100) -> Iterator[Figure]:
    """Slow readers: a client sends 400 MB and reads nothing."""
    with daemons.start() as daemon:
        address = daemon.address("TCP")
        one_shot(address, b"warm up")
        before = daemon.resident()
        with connect(address) as sock:
            sock.setblocking(False)
            accepted = 0
            while accepted < total and select.select([], [sock], [], 1.0)[1]:
                accepted += sock.send(bytes(65536))
            served = sum(one_shot(address, b"other") == b"other" + ACKNOWLEDGEMENT for _ in range(others))
            grown = max(0, daemon.resident() - before)
        yield Figure(f"growth of resident memory, {total // _MB} MB unread", grown / _MB, "MB", most=1)
        yield Figure("bytes accepted", accepted / _MB, "MB", most=8)
        yield exactly("others served meanwhile", served, others)


def stop_while_sending(daemons: Daemons, clients: int = 20) -> Iterator[Figure]:
    """A stop while clients send: each has to receive all replies, and an end of file instead of a reset."""
    stopping = threading.Event()
    with daemons.start("--drain-timeout", "60") as daemon, ThreadPoolExecutor(2 * clients) as threads:
        before = descriptors(daemon)
        socks = [connect(daemon.address("TCP")) for _ in range(clients)]
        received = [threads.submit(read_all, sock) for sock in socks]
        sent = [threads.submit(_sends_past, sock, stopping) for sock in socks]
        try:
            wait_until(lambda: descriptors(daemon) >= before + clients)
            daemon.signal(signal.SIGTERM)
            daemon.line("stopping: open connections")
        finally:
            stopping.set()
        streams = zip(sent, received, strict=True)
        lost = sum(missing(s.result(), b"".join(split_answers(r.result(), ACKNOWLEDGEMENT))) for s, r in streams)
        ended = daemon.wait()
        for sock in socks:
            sock.close()
    yield exactly(f"bytes lost by {clients} clients", lost, 0)
    yield exactly("reset", ended.out.count("server's reset"), 0)


def _sends_past(sock: socket.socket, stopping: threading.Event, most: int = 5000) -> bytes:
    """Send until `stopping` is set, and 50 blocks more; return the bytes sent."""
    block = sent_by_duplex(10_000)
    number, more = 0, 50
    while number < most and more:
        sock.sendall(block)
        number += 1
        more -= stopping.is_set()
    sock.shutdown(socket.SHUT_WR)
    return block * number
