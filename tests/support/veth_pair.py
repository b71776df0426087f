"""Join two network namespaces by a veth pair, for one test."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from unittest import SkipTest

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_HERE = "/proc/thread-self/ns/net"
SERVER, CLIENT = "10.9.0.1", "10.9.0.2"


class Cable:
    """Move the test to CLIENT on interface `there`; `prefix` runs a command at SERVER on `here`."""

    def __init__(self) -> None:
        if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "sysctl"))):
            raise SkipTest("network namespaces take root, ip, nsenter and sysctl")
        self._home = os.open(_HERE, os.O_RDONLY)
        self._server = -1
        try:
            self._build()
        except BaseException:
            self.leave()
            raise

    def _build(self) -> None:
        self._server = self._fresh()
        self._run("ip link set lo up", "ip link add here type veth peer name there")
        os.close(self._fresh())
        self.prefix = ("nsenter", f"--net=/proc/{os.getpid()}/fd/{self._server}")
        self.server(
            f"ip link set there netns {threading.get_native_id()}",
            "sysctl -qw net.ipv4.neigh.here.retrans_time_ms=20",
            f"ip address add {SERVER}/24 dev here",
            "ip link set here up",
        )
        self._run("ip link set lo up", f"ip address add {CLIENT}/24 dev there", "ip link set there up")

    def _fresh(self) -> int:
        """Enter a new network namespace and return a descriptor for it."""
        if _LIBC.unshare(_CLONE_NEWNET):
            raise SkipTest(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        return os.open(_HERE, os.O_RDONLY)

    def server(self, *commands: str) -> None:
        """Run commands in the server's namespace."""
        self._run(*(" ".join((*self.prefix, each)) for each in commands))

    def client(self, *commands: str) -> None:
        """Run commands in the client's namespace, where the test is."""
        self._run(*commands)

    @staticmethod
    def _run(*commands: str) -> None:
        for command in commands:
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if done.returncode:
                raise SkipTest(f"{command}: {done.stderr.strip()}")

    def leave(self) -> None:
        """Return to the namespace that the test came from."""
        _LIBC.setns(self._home, _CLONE_NEWNET)
        for each in (self._home, self._server):
            if each >= 0:
                os.close(each)
