"""`twistd -n echotime --operator`: a person at the terminal, a script at standard input."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.integration.peers import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_all, read_exactly
from tests.integration.terminal import OnTerminal
from tests.integration.twistd import LIMIT, TWISTD, DaemonTestCase

SERVE = [*TWISTD, "echotime", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0"]


def sent(address: tuple[str, int], message: bytes) -> socket.socket:
    """A client that has sent its message and half-closed, as the seed's does."""
    sock = connect(address)
    sock.sendall(message)
    sock.shutdown(socket.SHUT_WR)
    return sock


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
            terminal.until("its connection ended\r\n")
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
        terminal.until("its time was over\r\n")

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


class PipeTests(DaemonTestCase):
    """A script as the operator."""

    def piped(self, *args: str, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """A daemon that takes words from standard input; `address` is where it listens."""
        child = subprocess.Popen(
            [*SERVE, "--operator", *args], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.addCleanup(self._end, child)
        assert child.stdout is not None
        for line in child.stdout:
            if b"listening on TCP" in line:
                self.address = "127.0.0.1", int(line.rpartition(b":")[2])
            if b"listening on UDP" in line:
                break
        return child

    @staticmethod
    def _end(child: subprocess.Popen[bytes]) -> None:
        child.kill()
        child.communicate(timeout=LIMIT)

    def test_words(self) -> None:
        """A line a word, whenever it comes; no prompt is written."""
        child = self.piped()
        assert child.stdin is not None
        with sent(self.address, b"one") as first, sent(self.address, b"two") as second:
            child.stdin.write(b"a\n")
            child.stdin.flush()
            self.assertEqual(read_all(first), b"one" + ACKNOWLEDGEMENT + b"a")
            child.stdin.write(b"\xff\t\n")
            child.stdin.flush()
            self.assertEqual(read_all(second), b"two" + ACKNOWLEDGEMENT + b"\xff\t")
        child.terminate()
        out, _ = child.communicate(timeout=LIMIT)
        self.assertNotIn(b"input the word", out)
        self.assertNotIn(b"Traceback", out)

    def test_end(self) -> None:
        """After its last line the operator is gone, and the daemon goes on."""
        child = self.piped("--reply", "nobody")
        assert child.stdin is not None
        child.stdin.write(b"a\nb")
        child.stdin.close()
        answers = [one_shot(self.address, b"x") for _ in range(3)]
        self.assertEqual(answers, [b"x" + ACKNOWLEDGEMENT + word for word in (b"a", b"b", b"nobody")])
        child.stdin = None

    def test_file_and_nothing(self) -> None:
        """Standard input may be a file, or /dev/null: an operator who is gone with the first question."""
        with tempfile.TemporaryFile() as words:
            words.write(b"from a file\n")
            words.seek(0)
            self.piped(stdin=words.fileno())
            self.assertEqual(one_shot(self.address, b"x"), b"x" + ACKNOWLEDGEMENT + b"from a file")
            self.assertEqual(one_shot(self.address, b"x"), b"x" + ACKNOWLEDGEMENT)
        self.piped(stdin=subprocess.DEVNULL)
        self.assertEqual(one_shot(self.address, b"x"), b"x" + ACKNOWLEDGEMENT)

    def test_closed(self) -> None:
        """Standard input that was closed is an operator who is not there."""
        command = 'exec "$@" <&-'
        child = subprocess.Popen(
            ["sh", "-c", command, "sh", *SERVE, "--operator", "--reply", "nobody"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(self._end, child)
        assert child.stdout is not None
        for line in child.stdout:
            if b"listening on TCP" in line:
                address = "127.0.0.1", int(line.rpartition(b":")[2])
            if b"listening on UDP" in line:
                break
        self.assertEqual(one_shot(address, b"x"), b"x" + ACKNOWLEDGEMENT + b"nobody")
        child.terminate()
        out, _ = child.communicate(timeout=LIMIT)
        self.assertNotIn(b"Traceback", out)

    def test_half_closed_client_is_answered_later(self) -> None:
        """A client that has said all it has to say gets its word, however late, and what it sends before waits."""
        child = self.piped()
        assert child.stdin is not None
        with connect(self.address) as client:
            client.sendall(b"one")
            self.assertEqual(read_exactly(client, 14), b"one" + ACKNOWLEDGEMENT)
            client.sendall(b"two")
            client.shutdown(socket.SHUT_WR)
            child.stdin.write(b"1\n2\n")
            child.stdin.flush()
            self.assertEqual(read_all(client), b"1two" + ACKNOWLEDGEMENT + b"2")

    def test_limits(self) -> None:
        """Beyond the limits the fixed word comes at once."""
        self.piped("--reply", "full", "--max-questions", "3", "--max-questions-per-source", "2")
        with sent(self.address, b"1"), sent(self.address, b"2"):
            self.assertEqual(one_shot(self.address, b"3"), b"3" + ACKNOWLEDGEMENT + b"full")


class FaultTests(DaemonTestCase):
    """Where no operator can be."""

    def test_in_the_background(self) -> None:
        """Without -n there is no terminal: a usage error, and nothing is started."""
        with tempfile.TemporaryDirectory() as directory:
            ended = self.twistd_in_daemon_mode(directory, "--operator", "--tcp", "0")
            self.assertEqual(ended.status, 2)
            self.assertIn("--operator: in the background there is no terminal; expected twistd -n", ended.err)
            self.assertEqual(list(Path(directory).iterdir()), [])

    def test_without_an_operator(self) -> None:
        """Options that need one say so; other values are checked as everywhere."""
        ended = self.refused("--reply-deadline", "5", "--wait-for-operator")
        self.assertEqual(ended.status, 2)
        self.assertIn("--reply-deadline: nobody can answer; expected --operator", ended.err)
        self.assertIn("--wait-for-operator: nobody can answer; expected --operator", ended.err)
        ended = self.refused("--operator", "--reply-deadline", "0", "--encoding", "x", "--max-questions", "0")
        self.assertEqual(ended.status, 2)
        self.assertIn("--reply-deadline 0: '0' leaves no time", ended.err)
        self.assertIn("--encoding x: 'x' is no encoding; expected one such as utf-8", ended.err)
        self.assertIn("--max-questions 0:", ended.err)
