"""Test that the daemon ends when it runs out of memory."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import socket
import subprocess
from pathlib import Path

from tests.support.plain_clients import connect, fill, one_shot, read_all
from tests.support.twistd_process import DaemonTestCase

MANY = 20_000
ENOUGH = 10_000
"""Descriptors for clients that need more memory than there is."""
HEADROOM = 2**20
"""Bytes of address space above those that the idle daemon uses."""
LOOPING = 10.0
"""Seconds without progress after which Python counts as looping."""
CRASHES = {-signal.SIGSEGV, -signal.SIGABRT}


class MemoryTests(DaemonTestCase):
    """Check that a MemoryError anywhere ends the daemon at once, with status 1 and one line."""

    def test_memory_error(self) -> None:
        """A MemoryError in a reply source ends the daemon and resets clients with pending output."""
        daemon = self.application("failing_replies.tac")
        address = daemon.address("TCP")
        with connect(address) as slow, connect(address) as sock:
            fill(slow)
            sock.sendall(b"memory")
            with self.assertRaises(ConnectionResetError):
                read_all(slow)
            ended = daemon.wait()
        self.assertEqual((ended.status, ended.err), (1, "echotime: out of memory\n"))
        self.assertIn("served connections: 2", ended.out)

    def test_stop_that_fails(self) -> None:
        """The daemon ends also if it cannot stop in order."""
        daemon = self.application("failing_replies.tac")
        with connect(daemon.address("TCP")) as sock:
            sock.sendall(b"stuck")
            ended = daemon.wait()
        self.assertEqual((ended.status, ended.err), (1, "echotime: out of memory\n"))
        self.assertNotIn("Main loop terminated", ended.out)


class LimitTests(DaemonTestCase):
    """Limit the address space (RLIMIT_AS), so that Python may lack memory even for its exception."""

    def test_limit(self) -> None:
        """With more clients than memory the daemon ends, even if Python itself crashes.

        CPython may loop while it handles its own MemoryError. No Python code runs then, so SIGABRT ends the
        process, as a service manager's watchdog would.
        """
        self.need("prlimit")
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = min(MANY, before[1])
        if most < ENOUGH:
            self.skipTest(f"no more than {most} descriptors can be had")
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        daemon = self.echotime("--log-message-rate", "0", "--max-per-source", str(most))
        address = daemon.address("TCP")
        # start and first echo are over: they need memory that the limit below does not allow
        one_shot(address, b"x")
        status = Path(f"/proc/{daemon.process.pid}/status").read_text(encoding="ascii", errors="replace")
        size = re.search(r"VmSize:\s+(\d+) kB", status)
        assert size is not None
        limit = 1024 * int(size[1]) + HEADROOM
        subprocess.run(["prlimit", f"--pid={daemon.process.pid}", f"--as={limit}:{limit}"], check=True)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for _ in range(most - 100):
                stack.enter_context(socket.create_connection(address, timeout=LOOPING)).sendall(b"x")
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.process.wait(LOOPING)
        daemon.signal(signal.SIGABRT)
        ended = daemon.wait()
        if ended.status == 1:
            self.assertRegex(ended.err, r"(?m)^echotime: (out of memory|listener lost: TCP \S+: MemoryError)$")
        else:
            self.assertIn(ended.status, CRASHES)
        with self.assertRaises(ConnectionRefusedError), socket.socket() as sock:
            sock.connect(address)
