"""Provide honest clients for the soak, which send without end and check every byte they receive."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

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

Address = tuple[str, int]
REPLY = b"now"
"""Reply of late_replies.tac to every message but a few."""
AFTER = ACKNOWLEDGEMENT + REPLY
_SLOW, _LATE = b"slow", b"late"
_TRIES = 100
"""Requests for a time: during a flood the receive buffer is full."""


@dataclass
class Tally:
    """Count what the clients of one kind did."""

    done: int = 0
    received: int = 0
    """Bytes received and compared."""
    again: int = 0
    """Requests for the time that were sent again."""
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """Name both services, and the event that ends the soak."""

    tcp: Address
    udp: Address
    over: threading.Event


Client = Callable[[Target, str, Tally, random.Random], None]
"""Do one turn of a client from its own address; raise OSError or AssertionError if a reply is wrong."""


def message(chance: random.Random, most: int) -> bytes:
    """Return random bytes without a newline, so that the echoed messages can be split."""
    return chance.randbytes(chance.randint(1, most)).replace(b"\n", b"\r")


def one_shots(target: Target, source: str, tally: Tally, chance: random.Random) -> None:
    """Send, half-close, and read to the end of file."""
    sent = message(chance, 20_000)
    came = one_shot(target.tcp, sent, source)
    assert b"".join(split_answers(came, AFTER)) == sent, f"{len(sent)} bytes sent, {len(came)} came"
    tally.received += len(came)


def streams(target: Target, source: str, tally: Tally, chance: random.Random) -> None:
    """Send and receive megabytes at the same time."""
    size = chance.randint(1, 3_000_000)
    came = duplex(target.tcp, size, source)
    assert b"".join(split_answers(came, AFTER)) == sent_by_duplex(size), f"a stream of {size} bytes"
    tally.received += len(came)


def late_replies(target: Target, source: str, tally: Tally, chance: random.Random) -> None:
    """Half-close, and wait for a reply that comes two seconds later."""
    socks = [connect(target.tcp, source) for _ in range(20)]
    for sock in socks:
        sock.sendall(_SLOW)
        sock.shutdown(socket.SHUT_WR)
    for sock in socks:
        with sock:
            came = read_all(sock)
        assert came == _SLOW + ACKNOWLEDGEMENT + _LATE, f"{came!r} instead of a late reply"
        tally.received += len(came)


def chats(target: Target, source: str, tally: Tally, chance: random.Random) -> None:
    """Exchange messages one by one on one connection."""
    with connect(target.tcp, source) as sock:
        for _ in range(500):
            if target.over.is_set():
                return
            sent = message(chance, 4096)
            sock.sendall(sent)
            # short enough to arrive and be read in one piece
            came = read_exactly(sock, len(sent) + len(AFTER))
            assert came == sent + AFTER, f"a message of {len(sent)} bytes"
            tally.received += len(came)


def times(target: Target, source: str, tally: Tally, chance: random.Random) -> None:
    """Request the time, and repeat the request if no answer comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        if sock.getsockname()[1] == target.udp[1]:
            return  # from the daemon's own port, a client looks like the daemon
        sock.connect(target.udp)
        for _ in range(_TRIES):
            sock.send(chance.randbytes(chance.choice([0, 1, 5, 100])))
            if select.select([sock], [], [], 0.2)[0]:
                answer = sock.recv(100)
                assert len(answer) == 4, f"an answer of {len(answer)} bytes"
                assert abs(struct.unpack("!I", answer)[0] - time.time()) < 3, f"{answer!r} is another time"
                tally.received += len(answer)
                break
            tally.again += 1
        else:
            raise AssertionError(f"no answer to {_TRIES} questions from {sock.getsockname()}")
    target.over.wait(0.002)


CLIENTS: dict[str, Client] = {
    "one-shots": one_shots,
    "streams": streams,
    "late replies": late_replies,
    "chats": chats,
    "times": times,
}
