"""`twistd -n echotime --operator`: a person at the terminal."""

from __future__ import annotations

import os
import signal
import socket
import tempfile

from tests.support.operator_case import SERVE, sent
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_all
from tests.support.pty_child import OnTerminal
from tests.support.twistd_process import DaemonTestCase


class TerminalTests(DaemonTestCase):
    """At the daemon's own terminal."""

    def seated(self, *args: str) -> OnTerminal:
        """A daemon with an operator; `address` and `udp` are where it listens."""
        self.need("setsid")
        terminal = OnTerminal([*SERVE, "--operator", *args])
        self.addCleanup(terminal.close)
        found = terminal.until(r"listening on TCP 127\.0\.0\.1:(\d+)")
        self.address = "127.0.0.1", int(found[1])
        self.udp = "127.0.0.1", int(terminal.until(r"listening on UDP 127\.0\.0\.1:(\d+)")[1])
        return terminal

    def test_the_seeds_dialogue(self) -> None:
        """Who connected, what was sent, the prompt; what is typed reaches the client, byte for byte."""
        terminal = self.seated()
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
        self.assertEqual(terminal.modes_now(), terminal.modes, "the terminal is given back as it was")

    def test_one_after_the_other(self) -> None:
        """Several wait: the oldest is asked first; an empty line is an empty word; nobody else waits for any of it."""
        terminal = self.seated()
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
        """Lines that come while a word is typed go above it, and the word is entered whole."""
        terminal = self.seated()
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
        """Control characters are shown as escapes, long messages cut and marked, and each in the encoding chosen."""
        terminal = self.seated("--encoding", "cp936")
        with sent(self.address, b"\x1b[2J\r\n" + "你".encode("cp936") + b"\xff") as client:
            terminal.until(r"127\.0\.0\.1: \\x1b\[2J\\r\\n你\\xff\r\n")
            terminal.type("好\n".encode())
            self.assertTrue(read_all(client).endswith("好".encode("cp936")))
        with sent(self.address, b"x" * 3000) as client:
            terminal.until(r"127\.0\.0\.1: x{200}\\\.\.\. \(first 200 of 3000 bytes\)\r\n")
            terminal.type(b"\n")
            read_all(client)

    def test_refused_word(self) -> None:
        """A word that cannot be written in the encoding is refused, and asked for again."""
        terminal = self.seated("--encoding", "ascii")
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            terminal.type("ok\u20ac\n".encode())
            terminal.until(r"cannot be written in ascii\r\n")
            terminal.until(r"input the word:$")
            terminal.type(b"ok\n")
            self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"ok")

    def test_leaving(self) -> None:
        """Ctrl-D: the operator leaves, what waits gets the fixed word, and so does everybody from now on."""
        terminal = self.seated("--reply", "later")
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            terminal.type(b"\x04")
            self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"later")
        terminal.until("the operator has left; the daemon goes on\r\n")
        self.assertEqual(one_shot(self.address, b"y"), b"y" + ACKNOWLEDGEMENT + b"later")
        self.assertEqual(terminal.modes_now(), terminal.modes)

    def test_client_goes(self) -> None:
        """A client that resets takes its question with it; the next is asked."""
        terminal = self.seated()
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
        """The daemon's stop settles what waits: the client gets the fixed word and an end of file."""
        terminal = self.seated("--reply", "bye")
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            terminal.child.send_signal(signal.SIGTERM)
            self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"bye")
        self.assertEqual(terminal.end(), -signal.SIGTERM)
        self.assertIn(b"questions: 1, answered: 0, expired: 0, abandoned: 0, given up: 1", terminal.shown)
        self.assertEqual(terminal.modes_now(), terminal.modes)

    def test_deadline(self) -> None:
        """A word that does not come in time is the fixed one."""
        terminal = self.seated("--reply", "too late", "--reply-deadline", "0.5")
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"too late")
        terminal.until("deadline expired\r\n")

    def test_hung_up(self) -> None:
        """A terminal that is closed is an operator who leaves; the daemon ends by SIGHUP, as programs do."""
        terminal = self.seated()
        with sent(self.address, b"x"):
            terminal.until(r"input the word:$")
            terminal.child.send_signal(signal.SIGHUP)
            self.assertEqual(terminal.end(), -signal.SIGHUP)

    def test_terminal_that_is_stopped(self) -> None:
        """Ctrl-S, or a terminal that nobody reads, holds up nobody else."""
        terminal = self.seated()
        for _ in range(300):
            with connect(self.address) as sock:
                sock.sendall(b"x" * 4000)
                sock.shutdown(socket.SHUT_WR)
        self.assertEqual(len(ask_time(self.udp)), 4)
        terminal.child.send_signal(signal.SIGTERM)
        self.assertEqual(terminal.end(), -signal.SIGTERM)

    def test_pasted(self) -> None:
        """A lot that is pasted at once is drawn once."""
        terminal = self.seated()
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            before = len(terminal.shown)
            terminal.type(b"y" * 3000 + b"\n")
            answer = read_all(client)
            terminal.until("y\r\n")
        self.assertEqual(answer, b"x" + ACKNOWLEDGEMENT + b"y" * 3000)
        self.assertLess(len(terminal.shown) - before, 100_000)

    def test_given_back_however_it_ends(self) -> None:
        """The terminal is as it was after a start that failed, and after signals that nobody else handles."""
        self.need("setsid")
        with tempfile.NamedTemporaryFile() as other:
            terminal = OnTerminal([*SERVE, "--operator", "--control", other.name])
            self.addCleanup(terminal.close)
            self.assertEqual(terminal.end(), 1)
            self.assertIn(b"which is no socket", terminal.shown)
            self.assertEqual(terminal.modes_now(), terminal.modes)
        for number in (signal.SIGHUP, signal.SIGQUIT):
            terminal = self.seated()
            terminal.child.send_signal(number)
            self.assertEqual(terminal.end(), -number)
            self.assertEqual(terminal.modes_now(), terminal.modes)

    def test_continued(self) -> None:
        """After SIGCONT, as after fg, it goes on, and the terminal is given back as it was at first."""
        terminal = self.seated()
        terminal.child.send_signal(signal.SIGCONT)
        with sent(self.address, b"x") as client:
            terminal.until(r"input the word:$")
            terminal.type(b"ok\n")
            read_all(client)
        terminal.type(b"\x03")
        terminal.end()
        self.assertEqual(terminal.modes_now(), terminal.modes)

    def test_job_control(self) -> None:
        """Ctrl-Z stops it; in the background it serves and leaves the shell the terminal; then it asks on."""
        self.need("setsid", "bash", "setpriv")
        terminal = OnTerminal(["bash", "--norc", "-i"], {**os.environ, "PS1": "shell> "})
        self.addCleanup(terminal.close)
        terminal.until("shell> $")
        # should the test fail, the daemon goes with its shell
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
                for _ in range(2):  # as it is typed, and as it is said
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
        terminal.until("Server Shut Down")
