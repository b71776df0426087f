"""Describe the servers: how each is started, how it reports its port, and why one cannot run here."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
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

    second: makes the command line of a second process that shares the port; None for a server of one process
    """

    name: str
    command: Callable[[str, Path], list[str]]
    port: Callable[[str], str] = lambda kind: r"^port (\d+)\n"
    missing: Callable[[Path], str] = _nothing_missing
    acknowledgement: str = ACKNOWLEDGEMENT
    leaves_out: frozenset[str] = frozenset()
    note: str = ""
    second: Callable[[str, int], list[str]] | None = None


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
    """Start a server and wait until it listens; a second process runs on the load's CPU. Raises DidNotStart."""
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(server_process(server.command(kind, folder), log, SERVER_CPU))
        port = reported_port(server.name, process, log, server.port(kind))
        pids = [process.pid]
        if server.second:
            log = log.with_suffix(".second.log")
            process = stack.enter_context(server_process(server.second(kind, port), log, LOAD_CPU))
            reported_port(server.name, process, log, server.port(kind))
            pids.append(process.pid)
        yield Running(server, tuple(pids), port)


def reported_port(name: str, process: subprocess.Popen[bytes], log: Path, pattern: str) -> int:
    """Wait until a server reports its port, and return it. Raises DidNotStart."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while not (found := re.search(pattern, log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise DidNotStart(f"{name} did not report its port; its output is in {log}")
        time.sleep(0.01)
    return int(found[1])


def twistd_echotime(
    *options: str, reactor: str | None = None, kind: str = "tcp", port: int = 0, shared: bool = False
) -> list[str]:
    """Return the command line of the daemon as its users run it, on loopback.

    reactor: a reactor of `twistd --help-reactors`; None for the daemon's default
    kind, port: the one port that is not chosen by the kernel
    shared: set SO_REUSEPORT on it
    """
    ports = {"tcp": 0, "udp": 0, kind: port}
    listening = [argument for each, number in ports.items() for argument in (f"--{each}", f"127.0.0.1:{number}")]
    sharing = ["--sockopt", f"{kind}:SO_REUSEPORT=on"] if shared else []
    twistd = [str(_BIN / "twistd"), *(["-r", reactor] if reactor else []), "-n", "--pidfile="]
    return [*twistd, "echotime", *listening, *sharing, *options]


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

SERVERS = (
    Server("echotime", lambda kind, folder: twistd_echotime(), echotime_port, _without_twistd),
    Server("echotime-epoll", lambda kind, folder: twistd_echotime(reactor="epoll"), echotime_port, _without_twistd),
    Server(
        "echotime-x2",
        lambda kind, folder: twistd_echotime(kind=kind, shared=True),
        echotime_port,
        _without_two_cpus,
        leaves_out=frozenset(each.name for each in WORKLOADS) - {"echo-50", "udp-32"},
        note="two daemons on one port (SO_REUSEPORT), each on a CPU; the load shares both CPUs with them",
        second=lambda kind, port: twistd_echotime(kind=kind, port=port, shared=True),
    ),
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
