"""Provide a network namespace that delays packets by the test's clock, as netem would by the real one."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.stepping_reactor import SteppingEPollReactor

ADDRESS = "10.9.0.9"
"""Address that is reached over the slow network, also from its own host."""
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_MTU = 1500
_COMMANDS = (
    "ip link set slow up",
    f"ip address add {ADDRESS}/32 dev slow",
    "sysctl -qw net.ipv4.conf.slow.accept_local=1 net.ipv4.conf.slow.rp_filter=0 net.ipv4.conf.all.rp_filter=0",
    # packets of the host to itself leave by the interface; packets that enter there are the host's
    "ip route add default dev slow table 100",
    "ip rule add pref 1 iif slow lookup local",
    f"ip rule add pref 2 to {ADDRESS} lookup 100",
    "ip rule add pref 3 lookup local",
    "ip rule del pref 0",
)


class SlowNetwork:
    """Deliver each packet `delay` seconds of the reactor's clock after it was sent."""

    def __init__(self, reactor: SteppingEPollReactor, delay: float, tun: int) -> None:
        self._reactor = reactor
        self._delay = delay
        self._tun = tun
        self._held: list[tuple[float, bytes]] = []

    def turn(self, seconds: float = 0.01) -> None:
        """Step the reactor, deliver due packets, and advance the clock."""
        self._reactor.step(3)
        self._carry()
        self._reactor.clock.advance(seconds)

    def _carry(self) -> None:
        now = self._reactor.seconds()
        while True:
            try:
                self._held.append((now + self._delay, os.read(self._tun, _MTU)))
            except BlockingIOError:
                break
        while self._held and self._held[0][0] <= now:
            os.write(self._tun, self._held.pop(0)[1])


@contextmanager
def slow_network(reactor: SteppingEPollReactor, delay: float) -> Iterator[SlowNetwork]:
    """Make a slow network in the calling thread's namespace, which must belong to the test.

    Skip the test if there is no tun device.
    """
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        pytest.skip(f"/dev/net/tun: {error.strerror}")
    try:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"slow", _IFF_TUN_NO_PI))
        for command in _COMMANDS:
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"{command}: {done.stderr.strip()}")
        yield SlowNetwork(reactor, delay, tun)
    finally:
        os.close(tun)
