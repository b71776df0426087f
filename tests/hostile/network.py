"""Build hosts in network namespaces, joined by a bridge; each has an interface `eth0` and loopback."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_MOST = 200
"""Largest number of hosts in a network."""
_PREFIX = "echotime"
Result = TypeVar("Result")


class CannotMake(Exception):
    """Report why the network cannot be made."""


class Host:
    """Represent one host; `address` is that of its `eth0`, with a 24-bit prefix."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    @property
    def prefix(self) -> tuple[str, ...]:
        """Return the command prefix that runs a command on the host."""
        return ("ip", "netns", "exec", self.name)

    def run(self, function: Callable[[], Result]) -> Result:
        """Return the result of a function that runs on the host, in a thread; sockets it opens stay there."""

        def entered() -> Result:
            # setns(2) acts on this thread, which ends with the call
            with (_NAMESPACES / self.name).open("rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                    raise CannotMake(f"setns: {os.strerror(ctypes.get_errno())}")
            return function()

        with ThreadPoolExecutor(1) as inside:
            return inside.submit(entered).result()

    def socket(self, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
        """Return an IPv4 socket of the host, bound to its address."""

        def bound() -> socket.socket:
            sock = socket.socket(socket.AF_INET, kind)
            sock.bind((self.address, 0))
            return sock

        return self.run(bound)

    def change(self, *arguments: str) -> None:
        """Change the host's network by ip(8). Raises CannotMake."""
        _ip("-n", self.name, *arguments)

    def set(self, name: str, value: str) -> None:
        """Set a sysctl of the host, as ``net/ipv4/...``. Raises CannotMake."""
        try:
            self.run(lambda: Path("/proc/sys", name).write_text(value, encoding="ascii"))
        except OSError as error:
            raise CannotMake(f"{name}: {error.strerror}") from None

    def use_ipv6(self, address: str) -> None:
        """Give `eth0` an IPv6 address with a 64-bit prefix and enable IPv6 on it."""
        self.set("net/ipv6/conf/eth0/disable_ipv6", "0")
        self.change("address", "add", f"{address}/64", "dev", "eth0", "nodad")

    def received(self) -> int:
        """Return the number of datagrams that the host's sockets received."""
        text = self.run(lambda: Path("/proc/thread-self/net/snmp").read_text(encoding="ascii"))
        names, values = (line.split() for line in text.splitlines() if line.startswith("Udp:"))
        return int(values[names.index("InDatagrams")])


@contextlib.contextmanager
def hosts(number: int = 2, network: str = "10.77.0") -> Iterator[list[Host]]:
    """Make `number` hosts with addresses .1, .2 and so on, and remove them at the end. Raises CannotMake.

    They have a route to their own network only.
    """
    if os.geteuid() or shutil.which("ip") is None:
        raise CannotMake("network namespaces take root and ip(8)")
    assert number <= _MOST
    _sweep()
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(_namespace("switch"))
        switch.change("link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
        switch.change("link", "set", "switch", "up")
        made = []
        for each in range(1, number + 1):
            host = stack.enter_context(_namespace(str(each), f"{network}.{each}"))
            _plug(host, switch, f"port{each}")
            made.append(host)
        yield made


@contextlib.contextmanager
def _namespace(what: str, address: str = "") -> Iterator[Host]:
    name = f"{_PREFIX}-{os.getpid()}-{what}"
    _ip("netns", "add", name)
    try:
        host = Host(name, address)
        # without neighbor discovery, so that only the tests' packets are counted
        host.set("net/ipv6/conf/default/disable_ipv6", "1")
        host.change("link", "set", "lo", "up")
        yield host
    finally:
        _ip("netns", "delete", name)


def _plug(host: Host, switch: Host, port: str) -> None:
    host.change("link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", switch.name)
    switch.change("link", "set", port, "master", "switch", "up")
    host.change("address", "add", f"{host.address}/24", "broadcast", "+", "dev", "eth0")
    host.change("link", "set", "eth0", "up")


def _sweep() -> None:
    """Remove the namespaces that killed processes left."""
    for path in _NAMESPACES.glob(f"{_PREFIX}-*-*"):
        owner = path.name.split("-")[1]
        if owner.isdigit() and not Path("/proc", owner).exists():
            with contextlib.suppress(CannotMake):
                _ip("netns", "delete", path.name)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMake(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
