"""Describe the servers: how each is started, how it reports its port, and why one cannot run here."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.build import HERE, BuildFailed, build_go
from benchmarks.processes import LOAD_CPU, SERVER_CPU, server_process
from benchmarks.workloads import WORKLOADS

ACKNOWLEDGEMENT = "\nI get it!\n"
_SECONDS_TO_START = 20
_BIN = Path(sys.executable).parent
_PEERS = HERE / "peers"
_BACKLOG = 4096
_ACTIVATE = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
_INHERITED = (sys.executable, "-c", _ACTIVATE)
"""Runs the command that follows a descriptor, with a duplicate of that as the socket of a service manager."""


class DidNotStart(Exception):
    """Report a server that ended, or reported no port in time."""


def _nothing_missing(folder: Path) -> str:
    return ""


@dataclass(frozen=True)
class Server:
    """Describe one server.

    command: makes the command line for "tcp" or "udp", given the folder of the compiled programs

    port: makes the pattern that finds the port in the server's output

    missing: prepares the server; returns why it cannot run and what to install, or ""

    leaves_out: workloads in which it takes no part

    note: the reason for that, or a remark on its figures

    workers: the number of processes that inherit the port's socket, each on a CPU, beside a load on each CPU; 0 for a
    server of one process, which opens the port itself and has a CPU of its own
    """

    name: str
    command: Callable[[str, Path], list[str]]
    port: Callable[[str], str] = lambda kind: r"^port (\d+)\n"
    missing: Callable[[Path], str] = _nothing_missing
    acknowledgement: str = ACKNOWLEDGEMENT
    leaves_out: frozenset[str] = frozenset()
    note: str = ""
    workers: int = 0


@dataclass(frozen=True)
class Running:
    """Hold a listening server; `pids` has each process started for it."""

    server: Server
    pids: tuple[int, ...]
    port: int


def chosen(names: Collection[str], folder: Path) -> tuple[list[Server], dict[str, str]]:
    """Return the servers with these names (all if empty) that can run, and the reason for each other, by name."""
    missing = {each.name: each.missing(folder) for each in SERVERS if not names or each.name in names}
    servers = [each for each in SERVERS if missing.get(each.name) == ""]
    return servers, {name: reason for name, reason in missing.items() if reason}


@contextlib.contextmanager
def running(server: Server, kind: str, folder: Path, log: Path) -> Iterator[Running]:
    """Start a server and wait until it listens. Raises DidNotStart."""
    with contextlib.ExitStack() as stack:
        if server.workers:
            sock = stack.enter_context(_listening_socket(kind))
            command, descriptors = [*_INHERITED, str(sock.fileno()), *server.command(kind, folder)], [sock.fileno()]
        else:
            command, descriptors = server.command(kind, folder), []
        pids = []
        for number, cpu in enumerate((SERVER_CPU, LOAD_CPU)[: max(1, server.workers)]):
            worker_log = log.with_suffix(f".{number}.log") if number else log
            process = stack.enter_context(server_process(command, worker_log, cpu, descriptors))
            port = reported_port(server.name, process, worker_log, server.port(kind))
            pids.append(process.pid)
        yield Running(server, tuple(pids), port)


def load_cpus(server: Server) -> tuple[int, ...]:
    """Return the CPUs on which a load of its own runs each: both of them for any number of workers."""
    return (SERVER_CPU, LOAD_CPU) if server.workers else (LOAD_CPU,)


def _listening_socket(kind: str) -> socket.socket:
    """Return a socket on loopback, as a service manager opens it."""
    if kind == "tcp":
        sock = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
    return sock


def reported_port(name: str, process: subprocess.Popen[bytes], log: Path, pattern: str) -> int:
    """Wait until a server reports its port, and return it. Raises DidNotStart."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while not (found := re.search(pattern, log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise DidNotStart(f"{name} did not report its port; its output is in {log}")
        time.sleep(0.01)
    return int(found[1])


def twistd_echotime(*options: str, reactor: str | None = None) -> list[str]:
    """Return the command line of the daemon as its users run it, on loopback.

    reactor: a reactor of `twistd --help-reactors`; None for the daemon's default
    """
    return [*_twistd(reactor), "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", *options]


def _twistd(reactor: str | None = None) -> list[str]:
    return [str(_BIN / "twistd"), *(["-r", reactor] if reactor else []), "-n", "--pidfile=", "echotime"]


def echotime_port(kind: str) -> str:
    """Return the pattern that finds the port in the daemon's log."""
    return rf"listening on {kind.upper()} 127\.0\.0\.1:(\d+)\n"


def _without_twistd(folder: Path) -> str:
    return "" if (_BIN / "twistd").exists() else f"no twistd beside {sys.executable}: pip install -e ."


def _without_two_cpus(folder: Path) -> str:
    return _without_twistd(folder) if SERVER_CPU != LOAD_CPU else "this machine has one CPU, and the row takes two"


def _python(name: str, *options: str) -> Callable[[str, Path], list[str]]:
    return lambda kind, folder: [sys.executable, str(_PEERS / name), kind, *options]


def _without_uvloop(folder: Path) -> str:
    return "" if find_spec("uvloop") else "not installed: pip install -e '.[bench]'"


def _without(program: str, package: str) -> Callable[[Path], str]:
    return lambda folder: "" if shutil.which(program) else f"not installed: apt-get install {package}"


def _without_go(folder: Path) -> str:
    if missing := _without("go", "golang-go")(folder):
        return missing
    try:
        build_go(folder)
    except BuildFailed as failure:
        return f"did not compile: {failure}"
    return ""


def _without_xinetd(folder: Path) -> str:
    return _without("xinetd", "xinetd")(folder) or ("only root may start it" if os.geteuid() else "")


_DATAGRAMS = frozenset({"udp-1", "udp-32"})
_MANY = frozenset({"echo-500", "idle-10000"})
_READS_MORE = "receives up to 256 KB at a time and answers each 4096 bytes of it"
_FORKS = "a process for each connection, so it takes no part where there are hundreds"

_SHARED = frozenset({"echo-50", "sessions", "udp-32"})


def _workers(number: int, note: str) -> Server:
    return Server(
        f"echotime-x{number}",
        lambda kind, folder: _twistd(),  # without a port of its own it serves what it inherits
        echotime_port,
        _without_two_cpus,
        leaves_out=frozenset(each.name for each in WORKLOADS) - _SHARED,
        note=note,
        workers=number,
    )


SERVERS = (
    Server("echotime", lambda kind, folder: twistd_echotime(), echotime_port, _without_twistd),
    Server("echotime-epoll", lambda kind, folder: twistd_echotime(reactor="epoll"), echotime_port, _without_twistd),
    _workers(1, "one worker on an inherited socket, on one CPU, beside a load on each CPU"),
    _workers(2, "two workers on one inherited socket, each on a CPU, beside a load on each CPU"),
    Server("twisted", _python("twisted_peer.py")),
    Server("asyncio", _python("asyncio_peer.py"), note=_READS_MORE),
    Server("uvloop", _python("asyncio_peer.py", "--uvloop"), missing=_without_uvloop, note=_READS_MORE),
    Server("go", lambda kind, folder: [str(folder / "peer-go"), kind], missing=_without_go),
    Server("c", lambda kind, folder: [str(folder / f"peer-{kind}")]),
    Server(
        "socat",
        lambda kind, folder: ["socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork,backlog=1024,nodelay", "PIPE"],
        lambda kind: r"listening on AF=2 127\.0\.0\.1:(\d+)\n",
        _without("socat", "socat"),
        "",
        _DATAGRAMS | _MANY,
        note=f"echoes without acknowledgement, in messages of any size; {_FORKS}",
    ),
    Server(
        "xinetd",
        _python("xinetd_peer.py"),
        missing=_without_xinetd,
        acknowledgement="",
        leaves_out=_DATAGRAMS | _MANY | {"sessions"},
        note=f"as socat; {_FORKS}, nor where they follow one another faster than it accepts them",
    ),
)
