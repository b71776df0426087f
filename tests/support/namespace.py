"""Run a function in a network namespace of its own, for tests that need interfaces and routes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

_CLONE_NEWNET = 0x40000000
_INTERFACES = (
    "ip link set lo up",
    "ip link add here type veth peer name there",
    "sysctl -qw net.ipv6.conf.there.disable_ipv6=1",
    # "here" first: its carrier comes with its peer, in one event, and IPv6 has its routes from then on
    "ip link set here up",
    "ip link set there up",
    "ip address add 10.9.0.1/24 dev here",
    "ip -6 address add fe80::1/64 dev here nodad",
    "ip -6 address add fd09::1/64 dev here nodad",
)
_LOCAL = ("fe80::1 dev here", "fd09::1 dev here")
_DEADLINE = 60.0
Result = TypeVar("Result")


def _await_local_routes() -> None:
    """Wait until the kernel delivers to the IPv6 addresses: it adds their routes later, also with `nodad`."""
    deadline = time.monotonic() + _DEADLINE
    for address in _LOCAL:
        command = f"ip -6 route show table local {address}".split()
        while not subprocess.run(command, capture_output=True, check=True).stdout:
            assert time.monotonic() < deadline, f"no local route to {address}"


def in_namespace(run: Callable[[], Result]) -> Result:
    """Return the result of `run` in a namespace with two interfaces.

    `here` has the addresses fe80::1, fd09::1 and 10.9.0.1, and `there` is its peer. The namespace belongs to a
    thread and ends with it. Skip the test if it cannot be made.
    """
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("a network namespace takes root and ip(8)")
    results: list[Result] = []
    failures: list[BaseException] = []

    def thread() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
                pytest.skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
            for command in _INTERFACES:
                done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"{command}: {done.stderr.strip()}")
            _await_local_routes()
            results.append(run())
        except BaseException as failure:
            failures.append(failure)

    inside = threading.Thread(target=thread)
    inside.start()
    inside.join()
    for failure in failures:
        raise failure
    return results[0]
