"""Test the messages to a service manager over a real socket; tests/systemd has a real service manager."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, fill, one_shot, read_exactly
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd


class SupervisionTests(DaemonTestCase):
    """Receive at the service manager's end of $NOTIFY_SOCKET."""

    def setUp(self) -> None:
        """Bind a notification socket with an abstract name."""
        self.name = f"echotime-{secrets.token_hex(8)}"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(f"\0{self.name}")
        self.manager.settimeout(LIMIT)

    def prefix(self, **more: str) -> tuple[str, ...]:
        """Return a command prefix that sets the environment."""
        return ("env", f"NOTIFY_SOCKET=@{self.name}", *(f"{name}={value}" for name, value in more.items()))

    def supervised(self, *args: str, **more: str) -> Twistd:
        """Start a daemon that has a notification socket."""
        addresses = ("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")
        return self.twistd("echotime", *addresses, *args, prefix=self.prefix(**more))

    def notified(self, beginning: str, further: str = "") -> str:
        """Receive until a line begins with `beginning`; return it, or the line of that datagram at `further`."""
        deadline = time.monotonic() + LIMIT
        while True:
            self.assertLess(time.monotonic(), deadline, f"no {beginning}")
            lines = self.manager.recv(4096).decode().splitlines()
            if any(line.startswith(beginning) for line in lines):
                return next(line for line in lines if line.startswith(further or beginning))

    def test_ready_and_stopping(self) -> None:
        """READY=1 is sent when clients are served; STOPPING=1 comes with figures."""
        daemon = self.supervised()
        self.notified("READY=1")
        self.assertTrue(any("listening on UDP" in line for line in (daemon.address("UDP") and daemon.lines)))
        with connect(daemon.address("TCP")) as sock:
            sock.sendall(b"hi")
            read_exactly(sock, 2 + len(ACKNOWLEDGEMENT))
            daemon.signal()
            self.notified("STOPPING=1")
            self.assertIn("open connections: 1;", self.notified("STATUS="))
        self.assertEqual(daemon.wait().status, -signal.SIGTERM)

    def test_stop_delay(self) -> None:
        """During the stop delay the status says so, more time is requested, and the watchdog is notified."""
        daemon = self.supervised("--stop-delay", "3600", WATCHDOG_USEC="400000")
        self.notified("READY=1")
        daemon.signal()
        self.notified("STOPPING=1")
        self.assertRegex(self.notified("EXTEND_TIMEOUT_USEC=", "STATUS="), "^STATUS=stopping in 3600 s; open connect")
        for _ in range(3):
            self.notified("WATCHDOG=1")
        self.assertEqual(one_shot(daemon.address("TCP"), b"hi"), b"hi" + ACKNOWLEDGEMENT)
        daemon.signal()
        self.assertEqual(daemon.wait().status, -signal.SIGTERM)

    def test_full_queue(self) -> None:
        """READY=1 and STOPPING=1 arrive also if the service manager's queue was full at that moment."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
            other.connect(f"\0{self.name}")

            def fill_queue() -> None:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        other.send(b"STATUS=other")

            fill_queue()
            daemon = self.supervised("--drain-timeout", "60")
            sock = connect(daemon.address("TCP"))
            self.addCleanup(sock.close)
            fill(sock)
            self.notified("READY=1")
            fill_queue()
            daemon.signal()
            daemon.line("stopping: open connections: 1")
            self.notified("STOPPING=1")
            daemon.signal()
            daemon.wait()

    def test_reload(self) -> None:
        """A reload is notified with its time, as Type=notify-reload requires, and its end, also if it fails."""
        path = Path(tempfile.mkdtemp(), "echotime.conf")
        self.addCleanup(shutil.rmtree, path.parent)
        for text in ("[echotime]\n", "[echotime]\nbacklog = x\n"):
            path.write_text("[echotime]\n", encoding="utf-8")
            daemon = self.supervised("--config", str(path))
            self.notified("READY=1")
            path.write_text(text, encoding="utf-8")
            before = time.monotonic_ns() // 1000
            daemon.signal(signal.SIGHUP)
            moment = self.notified("RELOADING=1", "MONOTONIC_USEC=").partition("=")[2]
            self.assertTrue(before <= int(moment) <= time.monotonic_ns() // 1000)
            self.notified("READY=1")
            daemon.line("reload: changed: |reload failed: ")
            daemon.stop()

    def test_watchdog(self) -> None:
        """The watchdog is notified repeatedly, and the probes behind it leave no line in the log."""
        daemon = self.supervised("--operator", WATCHDOG_USEC="400000")
        for _ in range(5):
            self.notified("WATCHDOG=1")
        one_shot(daemon.address("TCP"), b"hi")
        ended = daemon.stop()
        self.assertIn("served connections: 1 (empty: 0), messages: 1,", ended.out)
        self.assertEqual(ended.out.count("connection from"), 2)
        self.assertNotIn("health check", ended.out)

    def test_watchdog_and_values(self) -> None:
        """The probes succeed if acknowledgement and reply differ between messages."""
        daemon = self.supervised("--ack", r"\{message}", "--reply", r"\{peer}", WATCHDOG_USEC="400000")
        for _ in range(3):
            self.notified("WATCHDOG=1")
        self.assertNotIn("probe", daemon.stop().out)

    def test_another_process(self) -> None:
        """A watchdog of another process is left alone."""
        daemon = self.supervised(WATCHDOG_USEC="1000", WATCHDOG_PID="1")
        self.notified("READY=1")
        daemon.stop()
        self.manager.settimeout(0.1)
        with self.assertRaises(TimeoutError):
            self.notified("WATCHDOG=1")

    def test_hung(self) -> None:
        """A daemon that is hung on one port does not notify the watchdog until it recovers."""
        for transport in ("tcp", "udp"):
            options = "--tcp 127.0.0.1:0 --udp 127.0.0.1:0"
            hung = self.prefix(WATCHDOG_USEC="800000", ECHOTIME_HUNG=transport, ECHOTIME_OPTIONS=options)
            daemon = self.twistd("-r", "echotime", "-y", str(Path(__file__).with_name("hung.tac")), prefix=hung)
            self.notified("WATCHDOG=1")
            daemon.signal(signal.SIGUSR2)
            daemon.line(rf"health check: {transport.upper()} 127.0.0.1:\d+: hung: .*pending.*, none .* for [\d.]+ s")
            self.manager.settimeout(0.8)
            try:
                while True:  # skip earlier notifications
                    self.notified("WATCHDOG=1")
            except TimeoutError:
                self.manager.settimeout(LIMIT)
            daemon.signal(signal.SIGUSR2)
            self.notified("WATCHDOG=1")
            daemon.line(rf"health check: {transport.upper()} 127.0.0.1:\d+: answered in ")
            ended = daemon.stop()
            self.assertEqual(ended.out.count("health check: "), 2, "once for each change")
            self.assertIn("served connections: 0 (empty: 0), messages: 0, bytes in: 0", ended.out)
            self.assertIn("datagrams: 0\n", ended.out)

    def test_slow_answer(self) -> None:
        """A listener that sends slowly, by its own options, counts as serving, although its probe is late."""
        pace = ("--sockopt", "tcp:SO_MAX_PACING_RATE=20000", "--sockopt", "tcp:TCP_MAXSEG=1000")
        daemon = self.supervised(*pace, "--reply", "x" * 60_000, WATCHDOG_USEC="800000")
        daemon.line(r"health check: TCP 127.0.0.1:\d+: not answered: ")
        for _ in range(3):
            self.notified("WATCHDOG=1")
        ended = daemon.stop()
        self.assertNotIn("hung", ended.out)
        self.assertIn("served connections: 0 (empty: 0), messages: 0", ended.out)

    def test_nobody_listens(self) -> None:
        """A service manager that went away does not end the daemon."""
        self.manager.close()
        daemon = self.supervised(WATCHDOG_USEC="200000")
        self.assertEqual(one_shot(daemon.address("TCP"), b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.served(daemon)
