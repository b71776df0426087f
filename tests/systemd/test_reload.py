"""Test `systemctl reload`: the daemon reads its file again and goes on serving."""

from __future__ import annotations

import socket
import subprocess

from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_exactly
from tests.systemd.units import ADDRESS, CONFIG, DIRECT, LIMIT, SERVICE, UnitTestCase, systemctl


class ReloadTests(UnitTestCase):
    """Reload the daemon with the configuration file that the units name."""

    def configure(self, text: str) -> None:
        """Write the configuration file, below its section header."""
        CONFIG.write_text(f"[echotime]\n{text}", encoding="utf-8")

    def test_good(self) -> None:
        """New settings apply after a reload, in the same process and on open connections."""
        for unit in (SERVICE, DIRECT):
            self.configure("reply = one\n")
            process = self.start(unit)
            with connect(ADDRESS) as sock:
                sock.sendall(b"1")
                self.assertEqual(read_exactly(sock, 15), b"1" + ACKNOWLEDGEMENT + b"one")
                self.configure("reply = two\ndeny = 127.0.0.7\nsockopt = tcp:SO_KEEPALIVE=on\n")
                systemctl("reload", unit)
                self.line(unit, "^reload: changed: deny, reply, sockopt$")
                sock.sendall(b"2")
                self.assertEqual(read_exactly(sock, 15), b"2" + ACKNOWLEDGEMENT + b"two")
            with socket.create_connection(ADDRESS, 10, ("127.0.0.7", 0)) as denied:
                self.assertEqual(denied.recv(1), b"")
            self.assertEqual((self.process(unit), self.show(unit, "ActiveState")), (process, "active"))
            self.assertIn("open connections: ", self.show(unit, "StatusText"))
            systemctl("stop", unit, "echotime.socket")

    def test_instance(self) -> None:
        """An instance shares the configuration file, or has one of its own."""
        own = CONFIG.with_name("8888.conf")
        self._changed.add(own)
        self.options(f"--config {own}", "echotime-8888")
        for reply in ("one", "two"):
            self.configure(f"reply = {reply}\n")
            own.write_text(f"[echotime]\nreply = own {reply}\n", encoding="utf-8")
            for port, expected in ((7777, reply), (8888, f"own {reply}")):
                unit = f"echotime@{port}.service"
                if reply == "one":
                    self.start(unit)
                else:
                    systemctl("reload", unit)
                    self.line(unit, "^reload: changed: reply$")
                self.assertEqual(one_shot(("127.0.0.1", port), b"x"), b"x" + ACKNOWLEDGEMENT + expected.encode())

    def fails_to_reload(self) -> None:
        """Check that `systemctl reload` fails."""
        ended = subprocess.run(["systemctl", "reload", SERVICE], capture_output=True, timeout=LIMIT, check=False)
        self.assertNotEqual(ended.returncode, 0)

    def test_without_the_file(self) -> None:
        """A missing file is reported by name and changes nothing at a reload; a start without it fails."""
        self.configure("reply = one\n")
        process = self.start()
        CONFIG.unlink()
        self.fails_to_reload()
        self.line(SERVICE, "^echotime: --config /etc/echotime/echotime.conf: No such file or directory$")
        self.assertEqual(one_shot(ADDRESS, b"x"), b"x" + ACKNOWLEDGEMENT + b"one")
        self.assertEqual(self.process(), process)
        systemctl("stop", SERVICE)
        self.fails(SERVICE)
        self.line(SERVICE, "^echotime: --config /etc/echotime/echotime.conf: No such file or directory")
        self.assertEqual(self.show(SERVICE, "ExecMainStatus"), "2")

    def test_faulty(self) -> None:
        """A faulty file changes nothing; the journal has the reason, and the service goes on."""
        self.configure("reply = one\n")
        process = self.start()
        self.configure("reply = two\nbacklog = many\n")
        self.fails_to_reload()
        fault = "/etc/echotime/echotime.conf, line 3: backlog = many: must be a whole number, at least 1"
        found = self.line(SERVICE, f"^echotime: {fault}")
        self.assertEqual((found["PRIORITY"], found["SYSLOG_IDENTIFIER"]), ("3", "echotime"))
        # SIGHUP to the daemon itself is reported, too
        systemctl("kill", "--signal=HUP", "--kill-who=main", SERVICE)
        self.assertEqual(self.line(SERVICE, f"^reload failed: {fault}")["PRIORITY"], "3")
        self.assertEqual(one_shot(ADDRESS, b"x"), b"x" + ACKNOWLEDGEMENT + b"one")
        self.assertEqual(len(ask_time(ADDRESS)), 4)
        self.assertEqual(self.process(), process)

    def test_faulty_at_start(self) -> None:
        """A faulty file at the start is reported, and the start is not repeated."""
        self.configure("tcp = nowhere\n")
        self.fails(DIRECT)
        found = self.line(DIRECT, "^echotime: /etc/echotime/echotime.conf, line 2: tcp = nowhere: ")
        self.assertEqual(found["PRIORITY"], "3")
        self.assertEqual((self.show(DIRECT, "ExecMainStatus"), self.show(DIRECT, "NRestarts")), ("2", "0"))
