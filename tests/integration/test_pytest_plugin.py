"""Test the pytest plugin: tests of users run in a pytest of their own, with a daemon that ends with it."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from echotime.testing.daemons import DaemonProcess, Daemons
from echotime.testing.peer import Peer
from tests.support.plain_clients import RESET, ask_time, connect, one_shot
from tests.support.pytest_case import PytestCase
from tests.support.twistd_process import LIMIT

_TESTS = """\
import socket

import pytest


def exchange(address):
    with socket.create_connection(address) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()

"""


class PluginTests(PytestCase):
    """Run tests of users, most of which use the function `exchange`."""

    def outcome(self, tests: str, *options: str, before: str = _TESTS, **expected: int) -> str:
        """Return the output of pytest for these tests, which must have these outcomes."""
        self.write(before + tests)
        return self.run_pytest("-p", "no:twisted", *options, **expected)

    def test_everyday(self) -> None:
        """Each test sees a daemon that has done nothing yet, although all of them share it."""
        self.outcome(
            """
addresses = set()

@pytest.mark.parametrize("number", range(3))
def test_exchange(echotime_peer, number):
    assert exchange(echotime_peer.tcp) == b"hello\\nI get it!\\n"
    counters = echotime_peer.counters()
    assert (counters["connections"], counters["bytes_in"], counters["bytes_out"]) == (1, 5, 16)
    assert echotime_peer.connections() == []
    assert ": hello\\n" in echotime_peer.log and "ended by client" in echotime_peer.log
    addresses.add(echotime_peer.tcp)

def test_datagram(echotime_peer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", echotime_peer.udp)
        assert len(sock.recv(99)) == 4
    assert echotime_peer.counters()["datagrams"] == 1

def test_open(echotime_peer):
    global left
    left = socket.create_connection(echotime_peer.tcp)
    left.send(b"hello")
    left.recv(99)
    (row,) = echotime_peer.connections()
    assert row["peer"] == "127.0.0.1:%d" % left.getsockname()[1]
    assert (row["bytes_in"], row["awaiting_reply"]) == (5, False)

def test_closed(echotime_peer):
    with pytest.raises(ConnectionResetError):
        left.recv(99)
    left.close()
    assert echotime_peer.connections() == []
    assert echotime_peer.log == ""
    assert set(echotime_peer.counters().values()) == {0}
    assert addresses == {echotime_peer.tcp}
""",
            passed=6,
        )

    def test_behave(self) -> None:
        """A listener misbehaves for one test, beside the exact ones, and is closed after it."""
        self.outcome(
            """
def test_first(echotime_peer):
    global left
    left = echotime_peer.behave("reset_peer:bytes=3")
    with pytest.raises(ConnectionResetError):
        exchange(left)
    assert exchange(echotime_peer.tcp) == b"hello\\nI get it!\\n"
    assert echotime_peer.counters()["connections"] == 2

def test_second(echotime_peer):
    with pytest.raises(ConnectionRefusedError):
        exchange(left)
    silent = echotime_peer.behave("drop")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", silent)
        sock.sendto(b"", echotime_peer.udp)
        assert sock.recvfrom(99)[1] == echotime_peer.udp

def test_held(echotime_peer):
    global held
    held = [socket.create_connection(echotime_peer.behave(each)) for each in ("timeout", "no_read", "no_accept")]
    held[0].send(b"hello")
    assert len(echotime_peer.connections()) == 2

def test_released(echotime_peer):
    for each in held:
        with pytest.raises(ConnectionResetError):
            each.recv(99)
        each.close()
    with pytest.raises(ValueError, match="'drip' is not a behavior; the nearest is drop"):
        echotime_peer.behave("drip")
""",
            passed=4,
        )

    def test_options(self) -> None:
        """The daemon has the options of the fixture echotime_args, which a module or a test sets."""
        self.outcome(
            """
@pytest.fixture
def echotime_args():
    return ["--ack", ""]

def test_module(echotime_peer):
    assert exchange(echotime_peer.tcp) == b"hello"

@pytest.mark.parametrize("echotime_args", [["--ack", "", "--reply", "ok"], ["--ack", "", "--reply", "no"]])
def test_parameter(echotime_peer, echotime_args):
    assert exchange(echotime_peer.tcp) == b"hello" + echotime_args[-1].encode()
""",
            passed=3,
        )

    def test_failure(self) -> None:
        """A test that fails is shown with the log of the daemon during that test."""
        output = self.outcome(
            """
def test_first(echotime_peer):
    exchange(echotime_peer.tcp)

def test_second(echotime_peer):
    assert exchange(echotime_peer.tcp) == b""
""",
            "--tb=short",
            failed=1,
            passed=1,
        )
        self.assertEqual(output.count("Captured echotime log"), 1)
        self.assertEqual(output.count("ended by client, 5 bytes in, 16 bytes out"), 1, output)

    def test_faulty_option(self) -> None:
        """A daemon that does not start is an error of the test, with what the daemon says."""
        output = self.outcome(
            """
@pytest.mark.parametrize("echotime_args", [["--backlog", "x"], ["--tcp", "192.0.2.1:0"]])
def test_it(echotime_peer):
    pass
""",
            errors=2,
        )
        self.assertIn("RuntimeError: the echotime daemon ended with status 2:", output)
        self.assertIn("echotime: --backlog x: ", output)
        self.assertIn("RuntimeError: the echotime daemon ended with status 1:", output)
        self.assertIn("cannot listen on TCP 192.0.2.1:0", output)

    def test_daemon_killed_by_a_test(self) -> None:
        """The next test gets another daemon. The killed one is no error of the first test."""
        self.outcome(
            """
import os, re, signal

def test_first(echotime_peer):
    os.kill(echotime_peer._daemon._process.pid, signal.SIGKILL)

def test_second(echotime_peer):
    assert exchange(echotime_peer.tcp)
""",
            passed=2,
        )

    def test_arguments_that_are_no_list(self) -> None:
        """A text is refused, rather than taken as a list of its characters, and so is what is no text."""
        output = self.outcome(
            """
@pytest.mark.parametrize("echotime_args", ["--reply ok", ["--backlog", 5], None])
def test_it(echotime_peer):
    pass
""",
            errors=3,
        )
        self.assertEqual(output.count("TypeError: expected a list of strings, such as ['--reply', 'ok'], not "), 3)

    def test_strict_users(self) -> None:
        """The plugin works where every warning is an error, and leaves no thread behind."""
        self.outcome(
            """
import threading

def test_it(echotime_peer):
    assert exchange(echotime_peer.tcp)
    echotime_peer.counters()
    assert threading.active_count() == 1
""",
            *("-W", "error", "--strict-markers", "--strict-config"),
            passed=1,
        )

    def test_unused(self) -> None:
        """A pytest whose tests do not use the fixture imports neither the daemon nor Twisted."""
        self.outcome(
            """
def test_it():
    ours = {each for each in sys.modules if each.partition(".")[0] in {"echotime", "twisted", "zope"}}
    assert ours == {"echotime", "echotime.testing", "echotime.testing.plugin"}
""",
            before="import sys\n",
            passed=1,
        )

    def test_module_of_the_same_name(self) -> None:
        """A module in the folder of the tests does not replace one that the daemon imports."""
        (self.folder / "queue.py").write_text("raise SystemExit('wrong module')\n", encoding="utf-8")
        self.outcome(
            "def test_it(echotime_peer): assert exchange(echotime_peer.tcp)\n", "--import-mode=importlib", passed=1
        )

    def test_killed(self) -> None:
        """If pytest is killed, the daemon ends, and so it does after Ctrl-C."""
        tests = """
def test_it(echotime_peer):
    print("serving", echotime_peer._daemon._process.pid, flush=True)
    socket.create_connection(echotime_peer.tcp).recv(1)
"""
        self.write(_TESTS + tests)
        for number in (signal.SIGKILL, signal.SIGINT):
            child = self.start_pytest("-p", "no:twisted", "-s")
            assert child.stdout is not None
            pid = next(int(line.split()[-1]) for line in child.stdout if "serving" in line)
            with os.fdopen(os.pidfd_open(pid), "rb") as daemon:
                child.send_signal(number)
                ended, _, _ = select.select([daemon], [], [], LIMIT)
            self.assertTrue(ended, "the daemon still runs")
            child.communicate(timeout=LIMIT)

    def test_killed_beside_a_worker(self) -> None:
        """If pytest is killed, the daemon ends, although a process that a test has forked lives on."""
        self.write(
            """
import os, signal

def test_it(echotime_peer):
    worker = os.fork()
    if not worker:
        signal.pause()
    print("serving", echotime_peer._daemon._process.pid, worker, flush=True)
    signal.pause()
"""
        )
        child = self.start_pytest("-p", "no:twisted", "-s")
        assert child.stdout is not None
        daemon, worker = next(map(int, line.split()[-2:]) for line in child.stdout if "serving" in line)
        self.addCleanup(os.kill, worker, signal.SIGKILL)
        with os.fdopen(os.pidfd_open(daemon), "rb") as descriptor:
            child.kill()
            ended, _, _ = select.select([descriptor], [], [], LIMIT)
        self.assertTrue(ended, "the daemon still runs")


class DaemonProcessTests(SynchronousTestCase):
    """Use the daemon without pytest, as other test frameworks may."""

    def setUp(self) -> None:
        self.daemons = Daemons()
        self.addCleanup(self.daemons.stop)

    def test_outlives_a_thread(self) -> None:
        """A daemon that a thread started runs until the process ends, and not only until the thread ends."""
        started: list[DaemonProcess] = []
        thread = threading.Thread(target=lambda: started.append(self.daemons.running(())))
        thread.start()
        thread.join(LIMIT)
        self.assertEqual(one_shot(started[0].tcp, b"a"), b"a\nI get it!\n")
        ask_time(started[0].udp)
        self.assertTrue(started[0].is_running)

    def test_not_started(self) -> None:
        """A process that cannot be started leaves no directory behind."""
        with tempfile.TemporaryDirectory() as directory:
            self.patch(tempfile, "tempdir", directory)
            self.patch(sys, "executable", "/missing/python")
            self.assertRaises(FileNotFoundError, DaemonProcess)
            self.assertEqual([*Path(directory).iterdir()], [])

    def test_reused(self) -> None:
        """The same options are served by the same daemon, until it ends. Others get another one."""
        first = self.daemons.running(["--ack", ""])
        self.assertIs(self.daemons.running(("--ack", "")), first)
        self.assertIsNot(self.daemons.running(()), first)
        first.stop()
        self.assertFalse(first.is_running)
        second = self.daemons.running(["--ack", ""])
        self.assertIsNot(second, first)
        self.assertTrue(second.is_running)

    def test_killed(self) -> None:
        """Calls right after the end of the daemon raise OSError, which says how it has ended."""
        for call in (Peer.counters, Peer.connections, lambda peer: peer.behave("echo")):
            for _ in range(3):
                peer = Peer(self.daemons.running(()))
                os.kill(peer._daemon._process.pid, signal.SIGKILL)
                with self.assertRaises(OSError) as caught:
                    call(peer)
                self.assertEqual(str(caught.exception), "the daemon has ended by signal 9")
                peer.close()

    def test_behaviors_that_cannot_be_opened(self) -> None:
        """Only a faulty behavior is a ValueError. The limit of listeners is an OSError."""
        peer = Peer(self.daemons.running(()))
        for text in ("latncy", "off", "", "echo:id=00c0ffee"):
            with self.assertRaises(ValueError):
                peer.behave(text)
        for _ in range(100):
            peer.behave("echo")
        with self.assertRaisesRegex(OSError, "more than 100 listeners"):
            peer.behave("echo")
        peer.close()

    def test_counted_at_once(self) -> None:
        """A call counts all that clients did before it, also connections that they have just closed or reset."""
        peer = Peer(self.daemons.running(()))
        for number in range(1, 50):
            for each in range(10):
                with connect(peer.tcp) as sock:
                    sock.sendall(b"x" * 9000)
                    if each % 2:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.assertEqual(peer.counters()["connections"], 10 * number)
        peer.close()
