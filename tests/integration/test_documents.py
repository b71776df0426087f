"""Run every command that README, the reference pages and the man pages show with `$`, beside the servers they start."""

from __future__ import annotations

import re
import socket
import sys
import time

from tests.support.console_case import PATH, ROOT, SCRIPTS, ConsoleCase
from tests.support.pty_child import OnTerminal
from tests.support.tutorial import DOCS, Command, man_page_commands, shown_commands
from tests.support.twistd_process import LIMIT

_SERVER = re.compile(r"(.*\| )?twistd(-echotime)? -n |make run")
_VARIES = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}|\b[0-9a-f]{8}\b|[+-]?\d+(\.\d+)?")
_MAKE = """\
#!/bin/sh
# make in the checkout, with the environment that the tests have
exec /usr/bin/make -s -C {root} -o {prefix}/.run VENV={prefix} "$@"
"""


class DocumentTests(ConsoleCase):
    """Type the commands of a page in their order; its servers run until the page ends."""

    def setUp(self) -> None:
        super().setUp()
        if sys.prefix == sys.base_prefix:
            self.skipTest("the tests do not run in a virtual environment")
        self.sourced = ""

    def test_readme(self) -> None:
        """The first page works in a checkout, from its first line on."""
        programs = self.folder / "programs"
        programs.mkdir()
        (self.folder / ".venv").symlink_to(sys.prefix)
        (programs / "make").write_text(_MAKE.format(root=ROOT, prefix=sys.prefix), encoding="utf-8")
        (programs / "make").chmod(0o755)
        usual = [each for each in PATH.split(":") if each and each != SCRIPTS]
        self.environment["PATH"] = ":".join([str(programs), *usual])
        self.type_all((ROOT / "README.md").read_text(encoding="utf-8"), least=9)

    def test_tools(self) -> None:
        """The examples of the tools."""
        self.type_all(self.page("tools"), least=9)

    def test_operator(self) -> None:
        """The examples for operators, without their dialogues."""
        self.type_all(self.page("operator"), least=3)

    def test_protocol(self) -> None:
        """The examples of the protocol."""
        self.need("socat", "xxd")
        self.type_all(self.page("protocol"), least=3)

    def test_other_pages(self) -> None:
        """The examples of all other pages."""
        self.need("curl")
        for path in sorted(DOCS.glob("*.md")):
            if not path.name.startswith(("tutorial", "tools", "operator", "protocol")):
                self.type_all(self.page(path.stem))

    def test_man_pages(self) -> None:
        """The examples of the man pages."""
        self.environment["ECHOTIME_CONTROL"] = f"{self.folder}/control"
        server = Command("twistd -n echotime --control ./control", "")
        self.run_all([server, *man_page_commands("echotime.1")], least=8)
        self.run_all(man_page_commands("twistd-echotime.8"), least=1)

    @staticmethod
    def page(name: str) -> str:
        """Return the text of a page."""
        return (DOCS / f"{name}.md").read_text(encoding="utf-8")

    def type_all(self, text: str, least: int = 0) -> None:
        """Type all commands of a page."""
        self.run_all(shown_commands(text), least)

    def run_all(self, found: list[Command], least: int) -> None:
        """Run commands, of which there must be some, and end their servers."""
        self.assertGreaterEqual(len(found), least)
        servers: list[tuple[Command, OnTerminal]] = []
        for command in found:
            if _SERVER.match(command.line):
                servers.append((command, self.start(command)))
            elif command.line.startswith(". "):
                self.sourced += f"{command.line}\n"
            else:
                self.type(command)
        for command, server in servers:
            server.type(b"\x03")
            server.end()
            if "input the word" not in command.output:
                self.assert_shown(f"{command.output}\n...", server.shown.decode())

    def start(self, command: Command) -> OnTerminal:
        """Start a server on a terminal, and wait until it answers over UDP."""
        server = OnTerminal(["sh", "-c", f"cd {self.folder}\n{self.sourced}{command.line}"], self.environment)
        self.addCleanup(server.close)
        found = re.search(r"--udp \S*?(\d+)'?( |$)", command.line)
        address = ("127.0.0.1", int(found[1]) if found else 12345)
        deadline = time.monotonic() + LIMIT
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.1)
            while True:
                sock.sendto(b"", address)
                try:
                    sock.recv(9)
                    return server
                except OSError:
                    running = server.child.poll() is None and time.monotonic() < deadline
                    if not running:
                        server.child.kill()
                        server.end()
                    self.assertTrue(running, f"{command.line}\n{server.shown.decode()}")

    def type(self, command: Command) -> None:
        """Run a command, which must succeed, and compare the output if the page shows it."""
        if "echotime> " in command.output:
            self.leave(command)
            return
        with self.spawn(self.sourced + command.line) as child:
            try:
                output = child.communicate(timeout=3 * LIMIT)[0].decode()
            finally:
                child.kill()
        self.assertEqual(child.returncode, 0, f"{command.line}\n{output}")
        if command.output.strip():
            self.assert_shown(command.output, output)

    def leave(self, command: Command) -> None:
        """Start a dialogue on a terminal, and leave it at its first prompt."""
        dialogue = OnTerminal(["sh", "-c", f"cd {self.folder}\n{self.sourced}exec {command.line}"], self.environment)
        self.addCleanup(dialogue.close)
        dialogue.until("echotime> ")
        dialogue.type(b"\x04")
        self.assertEqual(dialogue.end(), 0)

    def assert_shown(self, expected: str, output: str) -> None:
        """Compare output without its numbers, times and widths of columns, which differ from run to run."""
        expected, output = (
            re.sub("[ \t]+", " ", re.sub(r" *\r?\n *", "\n", _VARIES.sub("0", text))) for text in (expected, output)
        )
        self.assert_output(expected, output)
