"""Test tools that fail in a way that nothing foresaw: one line, no traceback, and the promised exit status."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from tests.support.tool_case import ToolTestCase
from tests.support.twistd_process import VERBOSE

NO_THREADS = """
import threading
def refuse(*args, **named):
    raise RuntimeError("can't start new thread")
threading._start_new_thread = threading._start_joinable_thread = refuse
"""
NO_CTYPES = "import sys; sys.modules['_ctypes'] = None"
IN_THE_REACTOR = """
from twisted.internet.task import react
import twisted.internet.task
def failing(main):
    from twisted.internet import reactor
    reactor.callLater(0, lambda: {}['missing'])
    react(main)
twisted.internet.task.react = failing
"""
FAULTS = {
    "a subcommand": "import echotime.cli.arguments as a\na.check_sockopt = lambda args: {}['missing']",
    "an import": "import sys; sys.modules['echotime.cli.ping'] = None",
    "memory": "import echotime.cli.arguments as a\ndef check(args): raise MemoryError\na.check_sockopt = check",
    "the reactor's loop": IN_THE_REACTOR,
    "no descriptor": "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (6, 6))",
}


class LastHandlerTests(ToolTestCase):
    """Make a tool fail, and read its one line."""

    def test_one_line(self) -> None:
        """Whatever fails, the tool prints one line on standard error and exits with status 1."""
        silent = self.udp_server(lambda sock, datagram, peer: None)
        for name, python in FAULTS.items():
            ended = self.tool("time", silent, python=python)
            shown = ended.stderr.replace(b"waiting for the answer...\n", b"")
            self.assertEqual((ended.returncode, ended.stdout), (1, b""), name)
            self.assertRegex(shown, re.compile(rb"\Aechotime: .+\n\Z"), name)

    def test_check(self) -> None:
        """`echotime check` prints its line on standard output and exits with status 3, unknown."""
        silent = self.udp_server(lambda sock, datagram, peer: None)
        for name, python in FAULTS.items():
            ended = self.tool("check", "--udp", silent, python=python)
            self.assertEqual((ended.returncode, ended.stderr), (3, b""), name)
            self.assertRegex(ended.stdout, re.compile(rb"\AECHOTIME UNKNOWN - .+\n\Z"), name)

    def test_an_internal_error_can_be_reported(self) -> None:
        """The line of an exception that has no message for users names its class and its place."""
        ended = self.tool("time", "127.0.0.1:1", python=FAULTS["a subcommand"])
        self.assertEqual(ended.stderr, b"echotime: internal error: KeyError: 'missing' (<string>:2)\n")

    def test_usage_errors_of_check(self) -> None:
        """A usage error of `echotime check` is unknown, on standard output."""
        for args, reason in (
            (["--nonsense", "host"], rb"unknown option '--nonsense'"),
            (["--timeot", "1", "host"], rb"unknown option '--timeot'; the nearest is --timeout"),
            ([], rb"the host is missing; expected HOST, HOST:PORT or -H HOST"),
            (["-w", "x=1", "host"], rb"argument -w/--warning: invalid threshold 'x=1'.*"),
            (["--udp", "--sockopt", "TCP_NODELAY=on", "host"], rb"TCP_NODELAY.*"),
            (["a\x1b[2J:1:2"], rb"argument HOST\[:PORT\]: [ -~]+"),
        ):
            ended = self.tool("check", *args)
            self.assertEqual(ended.returncode, 3)
            self.assertRegex(ended.stdout, re.compile(rb"\AECHOTIME UNKNOWN - " + reason + rb"\n\Z"))
            self.assertEqual(ended.stderr, b"try 'echotime check --help'\n")

    def test_no_thread(self) -> None:
        """If no thread can be started, a host name is refused in one line, and a numeric address works."""
        for command in ("send", "time", "ping", "check"):
            ended = self.tool(command, "localhost:1", python=NO_THREADS)
            self.assertEqual(ended.returncode, 3 if command == "check" else 1)
            self.assertIn(
                b"cannot start a thread for the name lookup (a numeric address needs none)", ended.stdout + ended.stderr
            )
        daemon = self.echotime()
        host, port = daemon.address("TCP")
        self.assertEqual(self.tool("send", f"{host}:{port}", "x", python=NO_THREADS).returncode, 0)
        self.served(daemon)

    def test_no_thread_for_control(self) -> None:
        """If no thread can be started, `echotime control` says so in one line."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = f"{directory.name}/control"
        daemon = self.echotime("--control", path)
        daemon.address("UDP")
        ended = self.tool("control", "--socket", path, "status", python=NO_THREADS)
        self.assertEqual((ended.returncode, ended.stdout), (1, b""))
        self.assertRegex(
            ended.stderr, re.compile(rb"\Aechotime: cannot start a thread for the control connection: .*\n\Z")
        )
        self.served(daemon)

    def test_full_output(self) -> None:
        """A full device for standard output gives one line."""
        for args in (["sockopts"], ["explain"]):
            with Path("/dev/full").open("wb") as full:
                child = subprocess.Popen(self.command(*args), stdout=full, stderr=subprocess.PIPE)
            self.addCleanup(self._end, child)
            self.assertEqual(child.communicate()[1], b"echotime: No space left on device\n", args)
            self.assertEqual(child.returncode, 1)


class NoCtypesTests(ToolTestCase):
    """Run the daemon on a Python without _ctypes."""

    python = NO_CTYPES

    def test_serves(self) -> None:
        """The daemon serves one datagram a call, and drops datagrams from low ports in the kernel all the same."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = f"{directory.name}/control"
        daemon = self.echotime("--require-sync", "--control", path, prefix=VERBOSE)
        daemon.line("served by recvmsg and sendmsg, one datagram a call")
        daemon.line("clock: unknown: this Python has no ctypes; UDP replies are suspended")
        ended = self.tool("control", "--socket", path, "status", python=NO_CTYPES)
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))
        self.assertNotIn("cannot be dropped by the kernel", self.served(daemon).out)
