"""What a daemon tells a service manager that asks, over a real socket; tests/systemd has the real one."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot, read_exactly
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd


class SupervisionTests(DaemonTestCase):
    """A service manager's end of $NOTIFY_SOCKET."""

    def setUp(self) -> None:
        """With an abstract name."""
        self.name = f"echotime-{secrets.token_hex(8)}"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(f"\0{self.name}")
        self.manager.settimeout(LIMIT)

    def prefix(self, **more: str) -> tuple[str, ...]:
        """What it sets in the environment."""
        return ("env", f"NOTIFY_SOCKET=@{self.name}", *(f"{name}={value}" for name, value in more.items()))

    def supervised(self, *args: str, **more: str) -> Twistd:
        """A daemon that is asked to tell."""
        addresses = ("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")
        return self.twistd("echotime", *addresses, *args, prefix=self.prefix(**more))

    def told(self, beginning: str, further: str = "") -> str:
        """The next line that begins so, or that of its datagram that begins as `further`; others are read over."""
        while True:
            lines = self.manager.recv(4096).decode().splitlines()
            if any(line.startswith(beginning) for line in lines):
                return next(line for line in lines if line.startswith(further or beginning))

    def test_ready_and_stopping(self) -> None:
        """Ready is told when clients are served, with figures; and the stop, with a demand for time."""
        daemon = self.supervised()
        self.told("READY=1")
        self.assertTrue(any("listening on UDP" in line for line in (daemon.address("UDP") and daemon.lines)))
        with connect(daemon.address("TCP")) as sock:
            sock.sendall(b"hi")
            read_exactly(sock, 2 + len(ACKNOWLEDGEMENT))
            daemon.signal()
            self.told("STOPPING=1")
            self.assertIn("open connections: 1;", self.told("STATUS="))
        self.assertEqual(daemon.wait().status, -signal.SIGTERM)

    def test_reload(self) -> None:
        """Its beginning, with the moment that Type=notify-reload asks for, and that it is over, faulty file or not."""
        path = Path(tempfile.mkdtemp(), "echotime.conf")
        self.addCleanup(shutil.rmtree, path.parent)
        for text in ("[echotime]\n", "[echotime]\nbacklog = x\n"):
            path.write_text("[echotime]\n", encoding="utf-8")
            daemon = self.supervised("--config", str(path))
            self.told("READY=1")
            path.write_text(text, encoding="utf-8")
            before = time.monotonic_ns() // 1000
            daemon.signal(signal.SIGHUP)
            moment = self.told("RELOADING=1", "MONOTONIC_USEC=").partition("=")[2]
            self.assertTrue(before <= int(moment) <= time.monotonic_ns() // 1000)
            self.told("READY=1")
            daemon.line("reload: changed: ")
            daemon.stop()

    def test_watchdog(self) -> None:
        """It is told again and again; the questions behind it leave no line in the log."""
        daemon = self.supervised("--operator", WATCHDOG_USEC="400000")
        for _ in range(5):
            self.told("WATCHDOG=1")
        one_shot(daemon.address("TCP"), b"hi")
        ended = daemon.stop()
        self.assertIn("served connections: 1 (empty: 0), messages: 1,", ended.out)
        self.assertEqual(ended.out.count("connection from"), 2)
        self.assertNotIn("health check", ended.out)

    def test_another_process(self) -> None:
        """A watchdog that is another process's is left alone."""
        daemon = self.supervised(WATCHDOG_USEC="1000", WATCHDOG_PID="1")
        self.told("READY=1")
        daemon.stop()
        self.manager.settimeout(0.1)
        with self.assertRaises(TimeoutError):
            self.told("WATCHDOG=1")

    def test_hung(self) -> None:
        """A daemon that is alive and hung on one port is not told to be well, until it is well again."""
        for transport in ("tcp", "udp"):
            options = "--tcp 127.0.0.1:0 --udp 127.0.0.1:0"
            hung = self.prefix(WATCHDOG_USEC="800000", ECHOTIME_HUNG=transport, ECHOTIME_OPTIONS=options)
            daemon = self.twistd("-r", "echotime", "-y", str(Path(__file__).with_name("hung.tac")), prefix=hung)
            self.told("WATCHDOG=1")
            daemon.signal(signal.SIGUSR2)
            daemon.line(rf"health check: {transport.upper()} 127.0.0.1:\d+: hung: .*pending.*, none .* for [\d.]+ s")
            self.manager.settimeout(0.8)
            try:
                while True:  # what was told before
                    self.told("WATCHDOG=1")
            except TimeoutError:
                self.manager.settimeout(LIMIT)
            daemon.signal(signal.SIGUSR2)
            self.told("WATCHDOG=1")
            daemon.line(rf"health check: {transport.upper()} 127.0.0.1:\d+: answered in ")
            ended = daemon.stop()
            self.assertEqual(ended.out.count("health check: "), 2, "once for each change")
            self.assertIn("served connections: 0 (empty: 0), messages: 0, bytes in: 0", ended.out)
            self.assertIn("datagrams: 0\n", ended.out)

    def test_slow_answer(self) -> None:
        """A listener that sends slowly, as it was told to, serves: the answer to the daemon's question is late, too."""
        pace = ("--sockopt", "tcp:SO_MAX_PACING_RATE=20000", "--sockopt", "tcp:TCP_MAXSEG=1000")
        daemon = self.supervised(*pace, "--reply", "x" * 60_000, WATCHDOG_USEC="800000")
        daemon.line(r"health check: TCP 127.0.0.1:\d+: not answered: ")
        for _ in range(3):
            self.told("WATCHDOG=1")
        ended = daemon.stop()
        self.assertNotIn("hung", ended.out)
        self.assertIn("served connections: 0 (empty: 0), messages: 0", ended.out)

    def test_nobody_listens(self) -> None:
        """A service manager that went away is no reason to end."""
        self.manager.close()
        daemon = self.supervised(WATCHDOG_USEC="200000")
        self.assertEqual(one_shot(daemon.address("TCP"), b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.served(daemon)
