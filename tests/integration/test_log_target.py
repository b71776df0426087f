"""Test a log target that is full, slow or gone: the daemon serves on, and reports lost lines."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import socket
import subprocess
from pathlib import Path

from tests.support import listening_address
from tests.support.pidfd_getfd import duplicate_socket
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, read_exactly
from tests.support.pty_child import OnTerminal
from tests.support.twistd_process import LIMIT, TWISTD, DaemonTestCase

MESSAGES = 300
_SMALL = 4096
SERVE = (*TWISTD, "echotime", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--log-message-rate", "100000")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[.*\] .*")
LOST = re.compile(r"log lines lost: (\d+)$", re.MULTILINE)


class LogTargetTests(DaemonTestCase):
    """Log every message of a daemon that must answer all of them."""

    def daemon(
        self, *command: str, out: int = subprocess.DEVNULL, err: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Start a daemon with these descriptors for its log."""
        child = subprocess.Popen(command or SERVE, stdin=subprocess.DEVNULL, stdout=out, stderr=err, text=True)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def serves(self, child: subprocess.Popen[str], first: int = 0, number: int = MESSAGES) -> None:
        """Check that both services answer; each message is logged as a different line."""
        with connect(listening_address.address(child, "TCP")) as sock:
            for each in range(first, first + number):
                message = b"%07d" % each
                sock.sendall(message)
                self.assertEqual(read_exactly(sock, 7 + len(ACKNOWLEDGEMENT)), message + ACKNOWLEDGEMENT)
        self.assertEqual(len(ask_time(listening_address.address(child, "UDP"))), 4)

    def stops(self, child: subprocess.Popen[str]) -> None:
        """Check that the daemon stops in order."""
        child.terminate()
        self.assertEqual(child.wait(LIMIT), -signal.SIGTERM)

    def pipe(self) -> tuple[int, int]:
        """Make a pipe with a small buffer."""
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _SMALL)
        return reader, writer

    def all_lines(self, text: str) -> None:
        """Check that each line is whole, and each message is either logged or counted as lost."""
        for line in text.splitlines():
            self.assertRegex(line, LINE)
        shown = re.findall(r": (\d{7})$", text, re.MULTILINE)
        self.assertEqual(sorted(shown), shown)
        self.assertLess(len(shown), MESSAGES)
        lost = sum(int(each) for each in LOST.findall(text))
        self.assertGreaterEqual(len(shown) + lost, MESSAGES)

    def stopped_reader(self, reader: int, child: subprocess.Popen[str]) -> None:
        """Serve until lines are lost, and check that the loss is logged before anything else."""
        self.serves(child)
        text = b""
        while not LOST.search(text.decode()):
            text += self.read(reader)
        self.serves(child, first=MESSAGES, number=1)
        child.terminate()
        while more := self.read(reader):
            text += more
        self.assertEqual(child.wait(LIMIT), -signal.SIGTERM)
        self.all_lines(text.decode())

    def read(self, reader: int) -> bytes:
        """Return what arrives within the time limit; empty at the end of file."""
        self.assertTrue(select.select([reader], [], [], LIMIT)[0], "nothing comes")
        return os.read(reader, _SMALL)

    def test_stopped_reader(self) -> None:
        """A pipe that is not read for a while loses lines, and the loss is logged."""
        reader, writer = self.pipe()
        self.addCleanup(os.close, reader)
        child = self.daemon(out=writer)
        os.close(writer)
        self.stopped_reader(reader, child)

    def test_stopped_reader_of_a_socket(self) -> None:
        """A socket that is not read for a while, such as the journal's, loses lines, and the loss is logged."""
        here, there = socket.socketpair()
        with here, there:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            child = self.daemon(out=there.fileno())
            there.close()
            self.stopped_reader(here.fileno(), child)

    def test_stops_though_nobody_reads(self) -> None:
        """A signal ends the daemon in order while its log is not read."""
        reader, writer = self.pipe()
        child = self.daemon(out=writer, err=writer)
        os.close(writer)
        self.addCleanup(os.close, reader)
        self.serves(child)
        self.stops(child)

    def test_reader_is_gone(self) -> None:
        """A log whose reader is gone, as with `| head -1`, does not affect the service."""
        reader, writer = self.pipe()
        child = self.daemon(out=writer, err=writer)
        os.close(writer)
        os.close(reader)
        self.serves(child)
        self.stops(child)

    def test_nobody_reads_the_reason(self) -> None:
        """A daemon that lost its port ends also if standard error accepts no more."""
        reader, writer = self.pipe()
        self.addCleanup(os.close, reader)
        os.write(writer, bytes(_SMALL))
        child = self.daemon(err=writer)
        os.close(writer)
        self.serves(child, number=1)
        try:
            sock = duplicate_socket(child.pid, socket.SOCK_STREAM)
        except OSError as error:
            self.skipTest(f"a socket of the daemon cannot be had: {error}")
        with sock:
            sock.shutdown(socket.SHUT_RDWR)
        self.assertEqual(child.wait(LIMIT), 1)

    def test_head(self) -> None:
        """`twistd -n echotime | head -1` shows the first line and goes on serving."""
        head = subprocess.Popen(["head", "-1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert head.stdin is not None
        child = self.daemon(out=head.stdin.fileno())
        self.assertIn(b"; stop with kill ", head.communicate()[0])
        self.serves(child)
        self.stops(child)

    def test_full(self) -> None:
        """Full devices for standard output and standard error do not affect the service."""
        with Path("/dev/full").open("w", encoding="ascii") as full:
            child = self.daemon(out=full.fileno(), err=full.fileno())
        self.serves(child)
        self.stops(child)

    def test_full_log_file(self) -> None:
        """A full device for --logfile, which Twisted writes, does not affect the service."""
        path = Path(self.mktemp())
        path.symlink_to("/dev/full")
        child = self.daemon(*SERVE[:3], "--logfile", str(path), *SERVE[3:])
        self.serves(child)
        self.stops(child)

    def test_room_again(self) -> None:
        """A log file that was full for a while continues at a line start, with the loss logged."""
        self.need("prlimit")
        path = Path(self.mktemp())
        with path.open("w", encoding="ascii") as file:
            child = self.daemon("prlimit", f"--fsize={2 * _SMALL}:unlimited", *SERVE, out=file.fileno())
        self.serves(child)
        self.assertEqual(path.stat().st_size, 2 * _SMALL)
        subprocess.run(["prlimit", f"--pid={child.pid}", "--fsize=unlimited"], check=True)
        self.serves(child, first=MESSAGES, number=1)
        self.stops(child)
        self.all_lines(path.read_text(encoding="utf-8"))

    def test_closed(self) -> None:
        """The daemon serves with standard output, standard error, or all three closed."""
        for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
            child = self.daemon("sh", "-c", f'exec "$@" {closed}', "sh", *SERVE)
            self.serves(child)
            self.stops(child)

    def test_terminal(self) -> None:
        """A terminal that is not read, as after a lost ssh connection, does not affect the service."""
        terminal = OnTerminal(list(SERVE))
        self.addCleanup(terminal.close)
        self.serves_unseen(terminal, int(terminal.until(r"listening on TCP 127\.0\.0\.1:(\d+)")[1]))
        terminal.until(LOST.pattern.replace("$", r"\r\n"))
        terminal.type(b"\x03")
        self.assertEqual(terminal.end(), -signal.SIGINT)

    def test_operator(self) -> None:
        """A terminal that is not read does not affect the service while an operator is there, or after."""
        terminal = OnTerminal([*SERVE, "--operator"])
        self.addCleanup(terminal.close)
        port = int(terminal.until(r"listening on TCP 127\.0\.0\.1:(\d+)")[1])
        with connect(("127.0.0.1", port)) as client:
            client.sendall(b"x")
            terminal.until("input the word:$")
            terminal.type(b"\x04")
            terminal.until("the operator left")
        self.serves_unseen(terminal, port)
        terminal.until(LOST.pattern.replace("$", r"\r\n"))
        terminal.type(b"\x03")
        self.assertEqual(terminal.end(), -signal.SIGINT)

    def serves_unseen(self, terminal: OnTerminal, port: int) -> None:
        """Log more than a terminal buffers, and check that all of it is answered."""
        with connect(("127.0.0.1", port)) as sock:
            for _ in range(2000):
                sock.sendall(b"x" * 100)
                read_exactly(sock, 100 + len(ACKNOWLEDGEMENT))
