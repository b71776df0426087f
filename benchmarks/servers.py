"""The servers: how each is started, how it says where it listens, and why one is left out."""

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
from benchmarks.processes import server_process

ACKNOWLEDGEMENT = "\nI get it!\n"
_SECONDS_TO_START = 20
_BIN = Path(sys.executable).parent
_PEERS = HERE / "peers"


class DidNotStart(Exception):
    """A server ended, or said no port for too long."""


def _nothing_missing(folder: Path) -> str:
    return ""


@dataclass(frozen=True)
class Server:
    """One that is measured.

    `command` makes the command line for "tcp" or "udp", given the folder of what was compiled; `port` finds the port
    in the output. `missing` prepares it and says why it cannot run, or nothing. `leaves_out` are workloads that it
    takes no part in, and `note` is why, or what else to know of its figures.
    """

    name: str
    command: Callable[[str, Path], list[str]]
    port: Callable[[str], str] = lambda kind: r"^port (\d+)\n"
    missing: Callable[[Path], str] = _nothing_missing
    acknowledgement: str = ACKNOWLEDGEMENT
    leaves_out: frozenset[str] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    server: Server
    pid: int
    port: int


def chosen(asked: Collection[str], folder: Path, tell: Callable[[str], None]) -> tuple[list[Server], dict[str, str]]:
    """Those that can run, of those that were asked for or of all; and why the others cannot."""
    left_out = {}
    servers = []
    for server in SERVERS:
        if asked and server.name not in asked:
            continue
        if reason := server.missing(folder):
            left_out[server.name] = reason
            tell(f"without {server.name}: {reason}")
        else:
            servers.append(server)
    return servers, left_out


@contextlib.contextmanager
def running(server: Server, kind: str, folder: Path, log: Path) -> Iterator[Running]:
    """Start a server and wait until it says its port. Raises DidNotStart."""
    with server_process(server.command(kind, folder), log) as process:
        yield Running(server, process.pid, port_said(server.name, process, log, server.port(kind)))


def port_said(name: str, process: subprocess.Popen[bytes], log: Path, pattern: str) -> int:
    """The port that a server says, once it does. Raises DidNotStart."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while not (found := re.search(pattern, log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise DidNotStart(f"{name} did not say where it listens; {log} has what it said")
        time.sleep(0.01)
    return int(found[1])


def twistd_echotime(*options: str) -> list[str]:
    """The daemon as its users run it, on loopback."""
    anywhere = ["--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0"]
    return [str(_BIN / "twistd"), "-n", "--pidfile=", "echotime", *anywhere, *options]


def _echotime(*options: str) -> Callable[[str, Path], list[str]]:
    return lambda kind, folder: twistd_echotime(*options)


def echotime_port(kind: str) -> str:
    """What its log says of the port."""
    return rf"listening on {kind.upper()} 127\.0\.0\.1:(\d+)\n"


def _without_twistd(folder: Path) -> str:
    return "" if (_BIN / "twistd").exists() else f"there is no twistd beside {sys.executable}"


def _python(name: str, *options: str) -> Callable[[str, Path], list[str]]:
    return lambda kind, folder: [sys.executable, str(_PEERS / name), kind, *options]


def _without_uvloop(folder: Path) -> str:
    return "" if find_spec("uvloop") else "uvloop is not installed: pip install -e '.[bench]'"


def _without(program: str) -> Callable[[Path], str]:
    return lambda folder: "" if shutil.which(program) else f"{program} is not installed"


def _without_go(folder: Path) -> str:
    if missing := _without("go")(folder):
        return missing
    try:
        build_go(folder)
    except BuildFailed as failure:
        return f"go refuses to build it: {failure}"
    return ""


_DATAGRAMS = frozenset({"udp-1", "udp-32"})
_MANY = frozenset({"echo-500", "idle-10000"})
_READS_MORE = "receives up to 256 KB at a time and answers each 4096 of it, which tells in stream-64k"
_FORKS = "a process for each connection, so it takes no part where there are hundreds"

SERVERS = (
    Server("echotime", _echotime(), echotime_port, _without_twistd),
    Server("echotime-stock", _echotime("--transport", "stock"), echotime_port, _without_twistd),
    Server("twisted", _python("twisted_peer.py")),
    Server("asyncio", _python("asyncio_peer.py"), note=_READS_MORE),
    Server("uvloop", _python("asyncio_peer.py", "--uvloop"), missing=_without_uvloop, note=_READS_MORE),
    Server("go", lambda kind, folder: [str(folder / "peer-go"), kind], missing=_without_go),
    Server("c", lambda kind, folder: [str(folder / f"peer-{kind}")]),
    Server(
        "socat",
        lambda kind, folder: ["socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork,backlog=1024,nodelay", "PIPE"],
        lambda kind: r"listening on AF=2 127\.0\.0\.1:(\d+)\n",
        _without("socat"),
        "",
        _DATAGRAMS | _MANY,
        note=f"echoes without acknowledgement, in messages of any size; {_FORKS}",
    ),
    Server(
        "xinetd",
        _python("xinetd_peer.py"),
        missing=lambda folder: _without("xinetd")(folder) or ("only root may start it" if os.geteuid() else ""),
        acknowledgement="",
        leaves_out=_DATAGRAMS | _MANY | {"sessions"},
        note=f"as socat; {_FORKS}, nor where they follow one another faster than it accepts them",
    ),
)
