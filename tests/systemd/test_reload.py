"""systemctl reload: the file is read again, by a daemon that goes on serving."""

from __future__ import annotations

import socket
import subprocess

from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_exactly
from tests.systemd.units import ADDRESS, CONFIG, DIRECT, LIMIT, SERVICE, UnitTestCase, systemctl


class ReloadTests(UnitTestCase):
    """With the file that the units name."""

    def configure(self, text: str) -> None:
        """Below its section."""
        CONFIG.write_text(f"[echotime]\n{text}", encoding="utf-8")

    def test_good(self) -> None:
        """What it says holds from then on; the process and its connections are the same."""
        for unit in (SERVICE, DIRECT):
            self.configure("reply = one\n")
            process = self.start(unit)
            with connect(ADDRESS) as sock:
                sock.sendall(b"1")
                self.assertEqual(read_exactly(sock, 15), b"1" + ACKNOWLEDGEMENT + b"one")
                self.configure("reply = two\ndeny = 127.0.0.7\nsockopt = tcp:SO_KEEPALIVE=on\n")
                systemctl("reload", unit)
                self.line(unit, "^reloaded: changed: deny, reply, sockopt$")
                sock.sendall(b"2")
                self.assertEqual(read_exactly(sock, 15), b"2" + ACKNOWLEDGEMENT + b"two")
            with socket.create_connection(ADDRESS, 10, ("127.0.0.7", 0)) as denied:
                self.assertEqual(denied.recv(1), b"")
            self.assertEqual((self.process(unit), self.show(unit, "ActiveState")), (process, "active"))
            self.assertIn("open connections: ", self.show(unit, "StatusText"))
            systemctl("stop", unit, "echotime.socket")

    def test_instance(self) -> None:
        """It shares the file, or has one of its own."""
        own = CONFIG.with_name("8888.conf")
        self._changed.add(own)
        self.options(f"--config {own}", "echotime-8888")
        for word in ("one", "two"):
            self.configure(f"reply = {word}\n")
            own.write_text(f"[echotime]\nreply = own {word}\n", encoding="utf-8")
            for port, said in ((7777, word), (8888, f"own {word}")):
                unit = f"echotime@{port}.service"
                if word == "one":
                    self.start(unit)
                else:
                    systemctl("reload", unit)
                    self.line(unit, "^reloaded: changed: reply$")
                self.assertEqual(one_shot(("127.0.0.1", port), b"x"), b"x" + ACKNOWLEDGEMENT + said.encode())

    def fails_to_reload(self) -> None:
        """systemctl says so, by its status."""
        ended = subprocess.run(["systemctl", "reload", SERVICE], capture_output=True, timeout=LIMIT, check=False)
        self.assertNotEqual(ended.returncode, 0)

    def test_without_the_file(self) -> None:
        """It is told, by name, and nothing is changed; a start without it is none."""
        self.configure("reply = one\n")
        process = self.start()
        CONFIG.unlink()
        self.fails_to_reload()
        self.line(SERVICE, "^echotime: /etc/echotime/echotime.conf: No such file or directory$")
        self.assertEqual(one_shot(ADDRESS, b"x"), b"x" + ACKNOWLEDGEMENT + b"one")
        self.assertEqual(self.process(), process)
        systemctl("stop", SERVICE)
        self.fails(SERVICE)
        self.line(SERVICE, "^echotime: /etc/echotime/echotime.conf: No such file or directory")
        self.assertEqual(self.show(SERVICE, "ExecMainStatus"), "2")

    def test_faulty(self) -> None:
        """Changes nothing, and the journal says why; the service goes on."""
        self.configure("reply = one\n")
        process = self.start()
        self.configure("reply = two\nbacklog = many\n")
        self.fails_to_reload()
        fault = "/etc/echotime/echotime.conf: backlog = many: 'many' is not a valid number"
        found = self.line(SERVICE, f"^echotime: {fault}")
        self.assertEqual((found["PRIORITY"], found["SYSLOG_IDENTIFIER"]), ("3", "echotime"))
        # a daemon that is told all the same says so, too
        systemctl("kill", "--signal=HUP", "--kill-who=main", SERVICE)
        self.assertEqual(self.line(SERVICE, f"^not reloaded: {fault}")["PRIORITY"], "3")
        self.assertEqual(one_shot(ADDRESS, b"x"), b"x" + ACKNOWLEDGEMENT + b"one")
        self.assertEqual(len(ask_time(ADDRESS)), 4)
        self.assertEqual(self.process(), process)

    def test_faulty_at_start(self) -> None:
        """Is told, and not tried again."""
        self.configure("tcp = nowhere\n")
        self.fails(DIRECT)
        found = self.line(DIRECT, "^echotime: /etc/echotime/echotime.conf: tcp = nowhere: ")
        self.assertEqual(found["PRIORITY"], "3")
        self.assertEqual((self.show(DIRECT, "ExecMainStatus"), self.show(DIRECT, "NRestarts")), ("2", "0"))
