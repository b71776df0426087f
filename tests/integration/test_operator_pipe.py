"""Test `twistd -n echotime --operator` with a script at standard input, and where no operator is possible."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from pathlib import Path

from tests.support.operator_case import SERVE, sent
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot, read_all, read_exactly
from tests.support.twistd_process import LIMIT, DaemonTestCase


class PipeTests(DaemonTestCase):
    """Run a script as the operator."""

    def piped(self, *args: str, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """Start a daemon that reads replies from standard input, and set `address` to its TCP address."""
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
        """Each line is a reply, whenever it comes, and no prompt is written."""
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
        self.assertEqual(answers, [b"x" + ACKNOWLEDGEMENT + reply for reply in (b"a", b"b", b"nobody")])
        child.stdin = None

    def test_file_and_nothing(self) -> None:
        """Standard input may be a file, or /dev/null, which is an operator who leaves at once."""
        with tempfile.TemporaryFile() as replies:
            replies.write(b"from a file\n")
            replies.seek(0)
            self.piped(stdin=replies.fileno())
            self.assertEqual(one_shot(self.address, b"x"), b"x" + ACKNOWLEDGEMENT + b"from a file")
            self.assertEqual(one_shot(self.address, b"x"), b"x" + ACKNOWLEDGEMENT)
        self.piped(stdin=subprocess.DEVNULL)
        self.assertEqual(one_shot(self.address, b"x"), b"x" + ACKNOWLEDGEMENT)

    def test_closed(self) -> None:
        """With standard input closed there is no operator, and the constant reply is sent."""
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
        """A half-closed client gets its late replies, and its earlier messages stay in order."""
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
        """Beyond the limits the constant reply comes at once."""
        self.piped("--reply", "full", "--max-questions", "3", "--max-questions-per-source", "2")
        with sent(self.address, b"1"), sent(self.address, b"2"):
            self.assertEqual(one_shot(self.address, b"3"), b"3" + ACKNOWLEDGEMENT + b"full")


class FaultTests(DaemonTestCase):
    """Request an operator where none is possible."""

    def test_in_the_background(self) -> None:
        """In the background there is no terminal: --operator is a usage error, and nothing is started."""
        with tempfile.TemporaryDirectory() as directory:
            ended = self.twistd_in_daemon_mode(directory, "--operator", "--tcp", "0")
            self.assertEqual(ended.status, 2)
            self.assertIn("--operator requires twistd -n: a daemon in the background has no terminal", ended.err)
            self.assertEqual(list(Path(directory).iterdir()), [])

    def test_without_an_operator(self) -> None:
        """Options that need an operator are refused without one, and their values are checked."""
        ended = self.refused("--reply-deadline", "5", "--wait-for-operator")
        self.assertEqual(ended.status, 2)
        self.assertIn("--reply-deadline requires --operator, --control or --http", ended.err)
        self.assertIn("--wait-for-operator requires --operator, --control or --http", ended.err)
        ended = self.refused("--operator", "--reply-deadline", "0", "--encoding", "x", "--max-questions", "0")
        self.assertEqual(ended.status, 2)
        self.assertIn("--reply-deadline 0: must be more than 0", ended.err)
        self.assertIn("--encoding x: 'x' is not an encoding; expected one such as utf-8", ended.err)
        self.assertIn("--max-questions 0:", ended.err)
