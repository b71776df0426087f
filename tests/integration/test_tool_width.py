"""Test that the output of the tools fits terminals of 60 and 80 columns, in both languages, and what pipes get."""

from __future__ import annotations

import re
import sys

from echotime.wire.escape import display_width
from tests.support.control_case import ControlTestCase
from tests.support.pty_child import OnTerminal
from tests.support.tool_case import CHINESE, ENGLISH, environment

WIDTHS = (60, 80)
LANGUAGES = (ENGLISH, CHINESE)
STYLE = "\x1b["
SIZED_BY_TERMINAL = {"COLUMNS": ""}
"""pytest-xdist sets COLUMNS, which has precedence over the size of the terminal."""
HELP = [f"{each} --help" for each in ("", "send", "time", "ping", "check", "sockopts", "explain", "control")]
REPORTS = (
    "send --sockopt help",
    "sockopts",
    "sockopts SO_RCVBUF TCP_INFO",
    "sockopts --set SO_RCVBUF=64K",
    "sockopts --differs --tcp",
    "explain",
    "explain server client backlog IP_PKTINFO IP_TTL",
)
IN_ONE_PROCESS = """
import sys
from echotime.cli.main import build_parser
for args in map(str.split, sys.argv[1:]):
    try:
        arguments = build_parser().parse_args(args)
        arguments.run(None, arguments).send(None)
    except (SystemExit, StopIteration):
        pass
"""
VERBS = (
    "sockopts tcp",
    "sockopts tcp all",
    "status",
    "connections",
    "questions",
    "backlog",
    "counters",
    "help",
    "quit",
)


class WidthTests(ControlTestCase):
    """Run tools on pseudoterminals, and measure their lines."""

    def on_terminal(self, command: list[str], columns: int = 80, typed: str = "", **variables: str) -> str:
        """Return what a terminal of this width shows, with styles."""
        self.need("setsid")
        terminal = OnTerminal(
            command, environment({**SIZED_BY_TERMINAL, "TERM": "xterm", "NO_COLOR": "", **variables}), columns
        )
        self.addCleanup(terminal.close)
        if typed:
            terminal.until("echotime> ")
            terminal.type(typed.encode())
        terminal.end()
        return terminal.shown.decode()

    def assert_fits(self, *command: str, typed: str = "") -> str:
        """Check that every line fits terminals of several widths, in both languages. Return the English text."""
        shown = ""
        for language in reversed(LANGUAGES):
            for columns in WIDTHS:
                shown = re.sub(r"\x1b\[[?\d]*[A-Za-z]", "", self.on_terminal([*command], columns, typed, **language))
                self.assertNotIn("Traceback", shown)
                self.assertTrue(shown.strip())
                for line in shown.splitlines():
                    self.assertLessEqual(display_width(line), columns, (command, language, line))
        return shown

    def test_help_and_reports(self) -> None:
        """The help of every subcommand fits, and so do tables, descriptions, trials and demonstrations."""
        shown = self.assert_fits(sys.executable, "-c", IN_ONE_PROCESS, *HELP, *REPORTS)
        for each in ("--verify", "SO_LINGER", "TCP_INFO", "CLOSE_WAIT", "somaxconn", "TTL", "effective 131072"):
            self.assertIn(each, shown)

    def test_pipe(self) -> None:
        """In a pipe an option has one line, which scripts may cut."""
        piped = self.tool("sockopts").stdout.decode()
        self.assertRegex(piped, r"(?m)^SO_REUSEPORT +SOL_SOCKET 15 +off +off +off +yes +Let .{90,}$")

    def test_clients(self) -> None:
        """Summaries and the histogram fit, and so do errors."""
        daemon = self.echotime()
        server = "{}:{}".format(*daemon.address("TCP"))
        time_server = "{}:{}".format(*daemon.address("UDP"))
        self.assertIn(
            "|###", self.assert_fits(*self.command("ping", *["-q", "--histogram", "-c", "20", "-i", "0.005"], server))
        )
        self.assertIn("exact: 0", self.assert_fits(*self.command("send", "--ack=x", "--repeat=3", server, "hello")))
        self.assertIn("offset", self.assert_fits(*self.command("time", time_server)))

    def test_message_after_an_answer(self) -> None:
        """A message does not follow what a server sent on the same line; elsewhere no line is added."""
        server = "{}:{}".format(*self.echotime("--reply", "ok").address("TCP"))
        for language, verified in zip(LANGUAGES, ("Verified: ", "校验完成"), strict=True):
            command = self.command("send", "--verify", "--reply=ok", server, "hello")
            self.assertIn(f"I get it!\r\nok\r\n{verified}", self.on_terminal(command, 80, "", **language))
        command = self.command("send", "--verify", server, "hello")
        self.assertIn("\r\nok\r\nechotime: ", self.on_terminal(command))
        self.assertTrue(self.on_terminal(self.command("send", "-q", server, "hello")).endswith("I get it!\r\nok"))
        piped = self.tool("send", "--verify", "--reply=ok", server, "hello")
        self.assertEqual(piped.stdout, b"hello\nI get it!\nok")

    def test_tables(self) -> None:
        """At 80 columns a connection has one line, and an option two: the second has the meaning only."""
        self.start_daemon("--wait-for-operator")
        self.pending_client(b"hello")
        for language in LANGUAGES:
            command = self.command("control", "--socket", str(self.path), "connections")
            self.assertEqual(len(self.on_terminal(command, 80, "", **language).splitlines()), 2)
            lines = self.on_terminal(self.command("sockopts"), 80, "", **language).splitlines()
            row = next(number for number, line in enumerate(lines) if line.startswith("SO_RCVBUF "))
            self.assertRegex(lines[row], r" SOL_SOCKET 8 .* (yes|是)$")
            self.assertRegex(lines[row + 1], r"^ {4}(The size|每个套接字)")
            self.assertTrue(lines[row + 2].startswith("SO_"))

    def test_control(self) -> None:
        """Tables fold into several lines a row, and the summary and the help are wrapped; a pipe gets whole rows."""
        self.start_daemon("--sockopt", "SO_RCVBUF=64K", "--wait-for-operator")
        self.pending_client(b"x" * 200)
        typed = "".join(f"{each}\n" for each in VERBS)
        shown = self.assert_fits(*self.command("control", "--socket", str(self.path)), typed=typed)
        for each in ("xxxxx", "UNSENT", "SO_RCVBUF", "leave the prompt", "datagrams"):
            self.assertIn(each, shown)
        (heading, row) = self.output("connections").splitlines()
        self.assertTrue(heading.endswith("UNSENT"))
        self.assertGreater(len(row), 60)

    def test_bold_headings(self) -> None:
        """Headings are bold on a terminal, unless NO_COLOR is set or the terminal is dumb."""
        for args in (("sockopts", "SO_LINGER"), ("explain", "IP_TTL"), ("ping", "--help")):
            self.assertIn(f"{STYLE}1m", self.on_terminal(self.command(*args)))
            self.assertNotIn(STYLE, self.on_terminal(self.command(*args), NO_COLOR="1"))
            self.assertNotIn(STYLE, self.on_terminal(self.command(*args), TERM="dumb"))
