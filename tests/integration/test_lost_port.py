"""Test that the daemon stops in order, with status 1 and one line, if it loses a listener."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import tempfile
from pathlib import Path

from tests.support.pidfd_getfd import duplicate_socket
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, fill, read_all, read_exactly
from tests.support.twistd_process import DaemonTestCase, Twistd

SHUT_DOWN = "another process shut the socket down"
_PR_SET_CHILD_SUBREAPER = 36


class LostPortTests(DaemonTestCase):
    """Shut a socket of the daemon down through a duplicated descriptor."""

    def shut(self, process: int, kind: socket.SocketKind, how: int, where: int | str | None = None) -> None:
        """Shut down the daemon's socket of this kind, with this port or path."""
        try:
            sock = duplicate_socket(process, kind, where)
        except OSError as error:
            self.skipTest(f"a socket of the daemon cannot be had: {error}")
        with sock:
            try:
                sock.shutdown(how)
            except OSError as error:  # UDP reports ENOTCONN, and is shut down all the same
                self.assertEqual(kind, socket.SOCK_DGRAM, error)

    def ends(self, daemon: Twistd, name: str) -> None:
        """Check that the daemon ends with its one line."""
        ended = daemon.wait()
        self.assertEqual(ended.status, 1)
        self.assertEqual(ended.err, f"echotime: listener lost: {name}: {SHUT_DOWN}\n")
        self.assertIn(f"#critical] listener lost: {name}: {SHUT_DOWN}\n", ended.out)
        self.assertIn("served connections:", ended.out)
        self.assertNotIn("Traceback", ended.out)

    def test_tcp(self) -> None:
        """The daemon ends if a TCP port accepts no connections any more."""
        for how in (socket.SHUT_RD, socket.SHUT_RDWR):
            daemon = self.echotime()
            name = "TCP {}:{}".format(*daemon.address("TCP"))
            daemon.address("UDP")
            self.shut(daemon.process.pid, socket.SOCK_STREAM, how)
            self.ends(daemon, name)

    def test_operators(self) -> None:
        """The daemon ends if it loses a listener of HTTP or the control socket, which nobody could reach any more."""
        for kind in ("HTTP", "HTTP socket", "control socket"):
            for how in (socket.SHUT_RD, socket.SHUT_RDWR):
                with tempfile.TemporaryDirectory() as directory:
                    http, control = (str(Path(directory) / each) for each in ("http", "control"))
                    daemon = self.echotime("--http", "127.0.0.1:0", "--http", http, "--control", control)
                    daemon.line("listening on HTTP socket ")
                    host, port = daemon.address("HTTP")
                    names: dict[str, tuple[str, int | str]] = {
                        "HTTP": (f"{host}:{port}", port),
                        "HTTP socket": (http, http),
                        "control socket": (control, control),
                    }
                    name, where = names[kind]
                    self.shut(daemon.process.pid, socket.SOCK_STREAM, how, where)
                    self.ends(daemon, f"{kind} {name}")

    def test_stop_delay(self) -> None:
        """The daemon ends at once if a port is lost while a signal's stop delay lasts, or before any signal."""
        for delayed in (True, False):
            daemon = self.echotime("--stop-delay", "3600")
            name = "TCP {}:{}".format(*daemon.address("TCP"))
            daemon.address("UDP")
            if delayed:
                daemon.signal()
                daemon.line("received SIGTERM: stopping in 3600 s")
            self.shut(daemon.process.pid, socket.SOCK_STREAM, socket.SHUT_RD)
            self.ends(daemon, name)

    def test_udp(self) -> None:
        """The daemon ends if a UDP port can receive, or with SHUT_WR send, no more."""
        for how in (socket.SHUT_RD, socket.SHUT_RDWR, socket.SHUT_WR):
            daemon = self.echotime()
            address = daemon.address("UDP")
            self.shut(daemon.process.pid, socket.SOCK_DGRAM, how)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"x", address)
            self.ends(daemon, "UDP {}:{}".format(*address))

    def test_clients_get_what_they_are_owed(self) -> None:
        """The daemon drains its connections as after a signal; a signal then counts as the second."""
        for impatient in (False, True):
            daemon = self.echotime("--drain-timeout", "3600")
            address = daemon.address("TCP")
            daemon.address("UDP")
            with connect(address) as sock:
                sent = fill(sock)
                self.shut(daemon.process.pid, socket.SOCK_STREAM, socket.SHUT_RDWR)
                daemon.line("stopping: open connections: 1")
                if impatient:
                    daemon.signal(signal.SIGTERM)
                else:
                    sock.shutdown(socket.SHUT_WR)
                    messages = read_all(sock).split(ACKNOWLEDGEMENT)
                    self.assertEqual(sum(map(len, messages)), sent)
                self.ends(daemon, "TCP {}:{}".format(*address))

    def test_signal_at_the_same_time(self) -> None:
        """A stop that has begun is not changed by a lost port."""
        daemon = self.echotime("--drain-timeout", "3600")
        address = daemon.address("TCP")
        daemon.address("UDP")
        with connect(address) as sock:
            sock.sendall(b"hi")
            read_exactly(sock, 2 + len(ACKNOWLEDGEMENT))
            daemon.signal(signal.SIGSTOP)
            daemon.signal(signal.SIGTERM)
            self.shut(daemon.process.pid, socket.SOCK_STREAM, socket.SHUT_RDWR)
            daemon.signal(signal.SIGCONT)
            self.assertEqual(read_all(sock), b"")
        ended = daemon.wait()
        self.assertNotIn("Traceback", ended.out + ended.err)

    def test_pid_file(self) -> None:
        """twistd still removes its pid file at the end."""
        path = Path(self.mktemp())
        daemon = self.twistd("--pidfile", str(path), "echotime", "--tcp", "127.0.0.1:0")
        daemon.address("TCP")
        self.assertTrue(path.exists())
        self.shut(daemon.process.pid, socket.SOCK_STREAM, socket.SHUT_RDWR)
        ended = daemon.wait()
        self.assertEqual(ended.status, 1)
        self.assertFalse(path.exists())
        self.assertIn("served connections: 0", ended.out)

    def test_in_the_background(self) -> None:
        """Without -n the status is 1 as well, the reason is in the log, and the pid file is removed."""
        if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            self.skipTest("the status of a process in the background cannot be had: no PR_SET_CHILD_SUBREAPER")
        self.addCleanup(ctypes.CDLL(None).prctl, _PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        with tempfile.TemporaryDirectory() as directory:
            started = self.twistd_in_daemon_mode(directory, "--tcp", "127.0.0.1:0")
            self.assertEqual(started.status, 0, started.err)
            process = int((Path(directory) / "twistd.pid").read_text(encoding="ascii"))
            try:
                self.shut(process, socket.SOCK_STREAM, socket.SHUT_RDWR)
            except BaseException:
                os.kill(process, signal.SIGKILL)
                raise
            finally:
                _, status = os.waitpid(process, 0)
            self.assertEqual(os.waitstatus_to_exitcode(status), 1)
            self.assertFalse((Path(directory) / "twistd.pid").exists())
            self.assertIn(SHUT_DOWN, (Path(directory) / "twistd.log").read_text(encoding="utf-8"))


class EPollLostPortTests(LostPortTests):
    """The same on Twisted's epoll reactor."""

    reactor = ("-r", "epoll")
