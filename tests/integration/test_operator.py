"""Test `twistd -n echotime --operator` with an operator at the terminal."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from pathlib import Path

from tests.support.operator_case import SERVE, sent
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_all
from tests.support.pty_child import OnTerminal
from tests.support.twistd_process import TWISTD, DaemonTestCase


class TerminalTests(DaemonTestCase):
    """Run the operator on the daemon's own terminal."""

    def with_operator(self, *args: str) -> OnTerminal:
        """Start a daemon with an operator, and set `address` and `udp` to its addresses."""
        self.need("setsid")
        terminal = OnTerminal([*SERVE, "--operator", *args])
        self.addCleanup(terminal.close)
        found = terminal.until(r"listening on TCP 127\.0\.0\.1:(\d+)")
        self.address = "127.0.0.1", int(found[1])
        self.udp = "127.0.0.1", int(terminal.until(r"listening on UDP 127\.0\.0\.1:(\d+)")[1])
        return terminal

    def test_original_dialogue(self) -> None:
        """The dialogue of the original scripts: connection, message, prompt; typed bytes reach the client exactly."""
        terminal = self.with_operator()
        with sent(self.address, b"hello") as client:
            terminal.until(rf"connection from: 127\.0\.0\.1:{client.getsockname()[1]}\r\n")
            terminal.until(r"127\.0\.0\.1: hello\r\n")
            terminal.until(r"input the word:$")
            terminal.type(b"ok\n")
            self.assertEqual(read_all(client), b"hello\nI get it!\nok")
        terminal.until(r"input the word:ok\r\n")
        terminal.type(b"\x03")
        self.assertEqual(terminal.end(), -signal.SIGINT)
        self.assertNotIn(b"Traceback", terminal.shown)
        self.assertEqual(terminal.modes_now(), terminal.modes, "the terminal modes were not restored")

    def test_log_in_a_file(self) -> None:
        """With the log in a file the terminal says what is served and how to leave, and the file has the answers."""
        self.need("setsid")
        log = self.mktemp()
        terminal = OnTerminal([*TWISTD, "--logfile", log, *SERVE[len(TWISTD) :], "--operator"])
        self.addCleanup(terminal.close)
        port = terminal.until(r"serving TCP 127\.0\.0\.1:(\d+), UDP 127\.0\.0\.1:\d+\r\n")[1]
        terminal.until("questions appear here; Ctrl-D leaves, Ctrl-C stops the daemon\r\n$")
        with sent(("127.0.0.1", int(port)), b"hello") as client:
            terminal.until(r"input the word:$")
            terminal.type(b"ok\n")
            read_all(client)
        terminal.type(b"\x03")
        terminal.end()
        self.assertRegex(
            Path(log).read_text(encoding="utf-8"),
            r"#info\] question 1 of 127\.0\.0\.1:\d+ answered by the operator's terminal: ok\n",
        )
        self.assertNotIn(b"answered by", terminal.shown)

    def test_one_after_the_other(self) -> None:
        """Pending questions come oldest first, an empty line is an empty reply, and other services go on."""
        terminal = self.with_operator()
        with sent(self.address, b"one") as first:
            terminal.until(r"127\.0\.0\.1: one\r\n")
            terminal.until(r"input the word:$")
            with sent(self.address, b"two") as second:
                terminal.until(r"connection from: ")
                self.assertEqual(len(ask_time(self.udp)), 4)
                terminal.type(b"\n")
                self.assertEqual(read_all(first), b"one" + ACKNOWLEDGEMENT)
                terminal.until(r"127\.0\.0\.1: two\r\n")
                terminal.until(r"input the word:$")
                terminal.type("你 好\n".encode())
                self.assertEqual(read_all(second), b"two" + ACKNOWLEDGEMENT + "你 好".encode())

    def test_what_is_typed_is_not_torn(self) -> None:
        """Lines logged while a reply is typed appear above it, and the reply is entered whole."""
        terminal = self.with_operator()
        with sent(self.address, b"one") as first:
            terminal.until(r"input the word:$")
            terminal.type(b"half")
            terminal.until("half")
            with sent(self.address, b"x") as second:
                terminal.until(r"\r\x1b\[Jconnection from: .*\r\ninput the word:half$")
                terminal.type(b"\x7f\x7fppy\n")
                self.assertEqual(read_all(first), b"one" + ACKNOWLEDGEMENT + b"happy")
                terminal.until(r"127\.0\.0\.1: x\r\n")
                terminal.type(b"\n")
                read_all(second)

    def test_shown_harmless(self) -> None:
        """Messages are shown in the chosen encoding, with control characters escaped and long ones cut."""
        terminal = self.with_operator("--encoding", "cp936")
        with sent(self.address, b"\x1b[2J\r\n" + "你".encode("cp936") + b"\xff") as client:
            terminal.until(r"127\.0\.0\.1: \\x1b\[2J\\r\\n你\\xff\r\n")
            terminal.type("好\n".encode())
            self.assertTrue(read_all(client).endswith("好".encode("cp936")))
        with sent(self.address, b"x" * 3000) as client:
            terminal.until(r"127\.0\.0\.1: x{200}\\\.\.\. \(first 200 of 3000 bytes\)\r\n")
            terminal.type(b"\n")
            read_all(client)

    def test_refused_word(self) -> None:
        """A reply that cannot be encoded is refused, and prompted for again."""
        terminal = self.with_operator("--encoding", "ascii")
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            terminal.type("ok\u20ac\n".encode())
            terminal.until(r"cannot be written in ascii\r\n")
            terminal.until(r"input the word:$")
            terminal.type(b"ok\n")
            self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"ok")

    def test_leaving(self) -> None:
        """After Ctrl-D the operator is gone, and pending and later clients get the constant reply."""
        terminal = self.with_operator("--reply", "later")
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            terminal.type(b"\x04")
            self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"later")
        terminal.until("the operator left; the daemon keeps running\r\n")
        self.assertEqual(one_shot(self.address, b"y"), b"y" + ACKNOWLEDGEMENT + b"later")
        self.assertEqual(terminal.modes_now(), terminal.modes)

    def test_client_goes(self) -> None:
        """A client that resets takes its question with it, and the next question is shown."""
        terminal = self.with_operator()
        client = connect(self.address)
        client.sendall(b"one")
        terminal.until(r"input the word:$")
        with sent(self.address, b"two") as second:
            terminal.until("connection from: ")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            terminal.until("connection ended\r\n")
            terminal.until(r"127\.0\.0\.1: two\r\n")
            terminal.until(r"input the word:$")
            terminal.type(b"ok\n")
            self.assertEqual(read_all(second), b"two" + ACKNOWLEDGEMENT + b"ok")

    def test_stop_with_questions(self) -> None:
        """A stop ends pending questions: the client gets the constant reply and an end of file."""
        terminal = self.with_operator("--reply", "bye")
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            terminal.child.send_signal(signal.SIGTERM)
            self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"bye")
        self.assertEqual(terminal.end(), -signal.SIGTERM)
        self.assertIn(b"questions: 1, answered: 0, expired: 0, abandoned: 0, given up: 1", terminal.shown)
        self.assertEqual(terminal.modes_now(), terminal.modes)

    def test_deadline(self) -> None:
        """A reply that misses its deadline is replaced by the constant one."""
        terminal = self.with_operator("--reply", "too late", "--reply-deadline", "0.5")
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"too late")
        terminal.until("deadline expired\r\n")

    def test_hung_up(self) -> None:
        """A terminal that hangs up ends the daemon by SIGHUP, as it does other programs."""
        terminal = self.with_operator()
        with sent(self.address, b"x"):
            terminal.until(r"input the word:$")
            terminal.child.send_signal(signal.SIGHUP)
            self.assertEqual(terminal.end(), -signal.SIGHUP)

    def test_terminal_that_is_stopped(self) -> None:
        """A stopped or unread terminal delays no client."""
        terminal = self.with_operator()
        for _ in range(300):
            with connect(self.address) as sock:
                sock.sendall(b"x" * 4000)
                sock.shutdown(socket.SHUT_WR)
        self.assertEqual(len(ask_time(self.udp)), 4)
        terminal.child.send_signal(signal.SIGTERM)
        self.assertEqual(terminal.end(), -signal.SIGTERM)

    def test_pasted(self) -> None:
        """A long pasted line is drawn once."""
        terminal = self.with_operator()
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            before = len(terminal.shown)
            terminal.type(b"y" * 3000 + b"\n")
            answer = read_all(client)
            terminal.until("y\r\n")
        self.assertEqual(answer, b"x" + ACKNOWLEDGEMENT + b"y" * 3000)
        self.assertLess(len(terminal.shown) - before, 100_000)

    def test_given_back_however_it_ends(self) -> None:
        """The terminal is restored after a failed start, and after signals without a handler."""
        self.need("setsid")
        with tempfile.NamedTemporaryFile() as other:
            terminal = OnTerminal([*SERVE, "--operator", "--control", other.name])
            self.addCleanup(terminal.close)
            self.assertEqual(terminal.end(), 1)
            self.assertIn(b"the file exists and is not a socket", terminal.shown)
            self.assertEqual(terminal.modes_now(), terminal.modes)
        for number in (signal.SIGHUP, signal.SIGQUIT):
            terminal = self.with_operator()
            terminal.child.send_signal(number)
            self.assertEqual(terminal.end(), -number)
            self.assertEqual(terminal.modes_now(), terminal.modes)

    def test_continued(self) -> None:
        """After SIGCONT, as after fg, the daemon goes on, and still restores the terminal at its end."""
        terminal = self.with_operator()
        terminal.child.send_signal(signal.SIGCONT)
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            terminal.type(b"ok\n")
            read_all(client)
        terminal.type(b"\x03")
        terminal.end()
        self.assertEqual(terminal.modes_now(), terminal.modes)

    def test_job_control(self) -> None:
        """Ctrl-Z stops the daemon; in the background it serves and leaves the terminal alone; then it prompts again."""
        self.need("setsid", "bash", "setpriv")
        terminal = OnTerminal(["bash", "--norc", "-i"], {**os.environ, "PS1": "shell> "})
        self.addCleanup(terminal.close)
        terminal.until("shell> $")
        # if the test fails, the daemon ends with its shell
        terminal.type(" ".join(["setpriv", "--pdeathsig", "KILL", *SERVE, "--operator"]).encode() + b"\n")
        address = "127.0.0.1", int(terminal.until(r"listening on TCP 127\.0\.0\.1:(\d+)")[1])
        terminal.until("listening on UDP")
        with sent(address, b"one") as client:
            terminal.until(r"input the word:$")
            terminal.type(b"\x1a")
            terminal.until("Stopped")
            terminal.type(b"bg\n")
            with sent(address, b"two") as second:
                terminal.until("connection from: ")
                terminal.type(b"echo still the shell\n")
                for _ in range(2):  # as it is typed, and as it is printed
                    terminal.until("still the shell\r\n")
                terminal.type(b"fg\n")
                terminal.until(r"input the word:$")
                terminal.type(b"first\n")
                self.assertEqual(read_all(client), b"one" + ACKNOWLEDGEMENT + b"first")
                terminal.until(r"127\.0\.0\.1: two\r\n")
                terminal.type(b"second\n")
                self.assertEqual(read_all(second), b"two" + ACKNOWLEDGEMENT + b"second")
        terminal.type(b"\x1a")
        terminal.until("Stopped")
        terminal.type(b"kill %1\n")
        terminal.until("served connections: 2")
