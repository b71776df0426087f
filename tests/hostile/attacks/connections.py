"""Attack with connections: many at once, many idle ones, more than there are descriptors."""

from __future__ import annotations

import math
import select
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from benchmarks.measure import cpu_seconds
from tests.hostile.daemons import Daemons
from tests.hostile.figures import Figure, exactly, yes
from tests.hostile.network import Host, hosts
from tests.hostile.timing import echoes, first_in_line, seconds_of
from tests.support.plain_clients import ACKNOWLEDGEMENT, RESET, connect, one_shot, read_exactly

Address = tuple[str, int]
OFFENDER, OTHER = "127.0.0.2", "127.0.0.3"
_MB = 1_000_000


def burst(daemons: Daemons, number: int = 1000) -> Iterator[Figure]:
    """Simultaneous connects: with Twisted's backlog of 50, clients beyond it wait a second before they retry."""
    with daemons.start("--log-message-rate", "0") as daemon, first_in_line():
        answered, seconds = _all_at_once(daemon.address("TCP"), number)
    yield exactly(f"answered of {number} simultaneous connects", answered, number)
    yield Figure("the last of them after", seconds, "s", most=0.2, timed=True)


def _all_at_once(address: Address, number: int) -> tuple[int, float]:
    """Return the number of clients that were answered, and the seconds until the last."""
    expected = len(b"hi" + ACKNOWLEDGEMENT)
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(number)]
        by_number = {sock.fileno(): sock for sock in socks}
        came = dict.fromkeys(by_number, 0)
        poll = stack.enter_context(select.epoll())
        began = time.perf_counter()
        for each, sock in enumerate(socks):
            sock.setblocking(False)
            sock.bind((_one_of_many(each), 0))
            sock.connect_ex(address)
            poll.register(sock, select.EPOLLOUT)
        answered = 0
        while answered < number and time.perf_counter() < began + 10:
            for each, event in poll.poll(1):
                if event & select.EPOLLOUT:
                    by_number[each].send(b"hi")
                    poll.modify(each, select.EPOLLIN)
                else:
                    piece = by_number[each].recv(100)
                    came[each] += len(piece)
                    answered += came[each] == expected
                    if not piece or came[each] == expected:
                        poll.unregister(each)
        return answered, time.perf_counter() - began


def _one_of_many(number: int) -> str:
    """Return one of 200 client addresses, since one address may not hold so many connections."""
    return f"127.0.1.{number % 200 + 1}"


def idle(daemons: Daemons, number: int = 5000) -> Iterator[Figure]:
    """Idle memory: connections cost the attacker nothing, and the daemon memory."""
    with daemons.start() as daemon, ExitStack() as stack:
        address = daemon.address("TCP")
        one_shot(address, b"warm up")
        before = daemon.resident()
        for each in range(number):
            stack.enter_context(connect(address, _one_of_many(each)))
        one_shot(address, b"all are accepted")
        yield Figure(f"memory of each of {number}", (daemon.resident() - before) / number / 1024, "KB", most=4)


def three_parts(daemons: Daemons) -> Iterator[Figure]:
    """Small writes: with Nagle's algorithm the second write waits 44 ms for a delayed acknowledgement."""
    with daemons.start("--reply", "ok", "--log-message-rate", "0") as daemon:
        median = statistics.median(each.seconds for each in echoes(daemon, 1.0, reply=b"ok"))
    yield Figure("median until echo, acknowledgement and reply", 1000 * median, "ms", most=1)


def dead_resolver(daemons: Daemons, times: int = 10) -> Iterator[Figure]:
    """Dead resolver: a server that looks up the names of its peers serves no client while the resolver is dead."""
    with (
        hosts(1) as (host,),
        tempfile.NamedTemporaryFile("w") as file,
        resolver(host, file) as dead,
        daemons.start(prefix=(*host.prefix, *with_resolver(file.name)), host=host.address) as daemon,
    ):
        address = daemon.address("TCP")

        def first_bytes() -> list[float]:
            return [seconds_of(lambda: one_shot(address, b"hi")) for _ in range(times)]

        slowest = max(host.run(first_bytes))
        queries = 0
        dead.setblocking(False)
        with suppress(BlockingIOError):
            while dead.recv(1000):
                queries += 1
    yield Figure("slowest first byte", 1000 * slowest, "ms", most=5, timed=True)
    yield exactly("queries to the resolver", queries, 0)


@contextmanager
def resolver(host: Host, file: IO[str]) -> Iterator[socket.socket]:
    """Run a name server that never answers; write a resolv.conf that names it to `file`."""

    def bound() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((host.address, 53))
        return sock

    file.write(f"nameserver {host.address}\n")
    file.flush()
    with host.run(bound) as sock:
        yield sock


def with_resolver(file: str) -> tuple[str, ...]:
    """Return a command prefix that mounts a file over /etc/resolv.conf, in a mount namespace of `ip netns exec`."""
    return ("sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', file)


def descriptors(daemons: Daemons, limit: int = 64, number: int = 200) -> Iterator[Figure]:
    """Descriptor exhaustion: more connections than there are descriptors."""
    with daemons.start(prefix=("prlimit", f"--nofile={limit}")) as daemon:
        address = daemon.address("TCP")
        with ExitStack() as stack:
            for _ in range(number):
                stack.enter_context(connect(address, OFFENDER))
            before = cpu_seconds(daemon.process.pid)
            time.sleep(1)
            spent = cpu_seconds(daemon.process.pid) - before
        recovered = until_served(address, OFFENDER)
    yield Figure(f"CPU with {number} connections and {limit} descriptors", 100 * spent, "%", most=5, timed=True)
    yield yes("served again", recovered < math.inf)
    yield Figure("served again after", 1000 * recovered, "ms", most=1000, timed=True)


def until_served(address: Address, source: str, patience: float = 3.0) -> float:
    """Return the seconds until a client at this address is served, with retries; infinite after `patience`."""
    began = time.perf_counter()
    while time.perf_counter() < began + patience:
        if served(address, source):
            return time.perf_counter() - began
    return math.inf


def served(address: Address, source: str, patience: float = 2.0) -> bool:
    """Return True if a client at this address is served at the first try."""
    try:
        with socket.create_connection(address, patience, (source, 0)) as sock:
            sock.sendall(b"hi")
            return read_exactly(sock, len(b"hi" + ACKNOWLEDGEMENT)) == b"hi" + ACKNOWLEDGEMENT
    except (OSError, AssertionError):
        return False


def silent(daemons: Daemons, number: int = 1000, limit: int = 256) -> Iterator[Figure]:
    """Idle connections: one address opens more than the limit and sends nothing, then another address connects."""
    with daemons.start(prefix=("prlimit", f"--nofile={limit}")) as daemon, ExitStack() as stack:
        address = daemon.address("TCP")
        for _ in range(number):
            stack.enter_context(connect(address, OFFENDER))
        with first_in_line():
            seconds = until_served(address, OTHER)
    yield yes(f"another address is served beside {number} silent connections", seconds < math.inf)
    yield Figure("within", 1000 * seconds, "ms", most=50, timed=True)


def flood(daemons: Daemons, tries: int = 100, limit: int = 256) -> Iterator[Figure]:
    """Flood of connections: one address opens connections at full speed and keeps many; others must not suffer."""
    with daemons.start("--log-message-rate", "0", prefix=("prlimit", f"--nofile={limit}")) as daemon:
        address = daemon.address("TCP")
        over = threading.Event()
        flooder = threading.Thread(target=_flood, args=(address, over, 2 * limit))
        flooder.start()
        try:
            found = [served(address, OTHER) for _ in range(tries)]
        finally:
            over.set()
            flooder.join()
    yield exactly("success of another address", 100 * sum(found) / tries, 100, "%")


def _flood(address: Address, over: threading.Event, keep: int, most: int = 200_000) -> None:
    kept: list[socket.socket] = []
    for _ in range(most):
        if over.is_set():
            break
        sock = socket.socket()
        kept.append(sock)
        with suppress(OSError):
            sock.bind((OFFENDER, 0))
            sock.setblocking(False)
            sock.connect_ex(address)
        if len(kept) > keep:
            oldest = kept.pop(0)
            oldest.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            oldest.close()
    for sock in kept:
        sock.close()


def unattended(daemons: Daemons, questions: int = 100) -> Iterator[Figure]:
    """Absent operator: questions are pending, and other clients must not be delayed."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        control = ("--control", str(Path(folder, "control")), "--wait-for-operator", "--log-message-rate", "0")
        daemon = stack.enter_context(daemons.start(*control, "--max-questions-per-source", str(questions)))
        address = daemon.address("TCP")
        before = statistics.median(_first_echo(address) for _ in range(questions))
        for each in range(questions):
            sock = stack.enter_context(connect(address, OFFENDER))
            sock.sendall(b"%d" % each)
            read_exactly(sock, len(b"%d" % each + ACKNOWLEDGEMENT))
        after = statistics.median(_first_echo(address) for _ in range(questions))
    added = 1000 * max(0.0, after - before)
    yield Figure(f"added to the median echo by {questions} questions", added, "ms", most=0.1, timed=True)


def _first_echo(address: Address) -> float:
    with connect(address) as sock:
        began = time.perf_counter()
        sock.sendall(b"hi")
        read_exactly(sock, len(b"hi" + ACKNOWLEDGEMENT))
        return time.perf_counter() - began
