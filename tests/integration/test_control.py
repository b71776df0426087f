"""`--control` and `echotime control`: operators at a Unix socket."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import random
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.integration.peers import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_all, read_exactly
from tests.integration.terminal import OnTerminal
from tests.integration.tools import ToolTestCase, environment
from tests.integration.twistd import LIMIT, Twistd

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


class ControlTestCase(ToolTestCase):
    """A daemon with a control socket, and operators."""

    def setUp(self) -> None:
        """A place for the socket."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.path = self.directory / "control"

    def controlled(self, *args: str) -> Twistd:
        """A daemon that lets questions wait; `address` is where it listens."""
        daemon = self.echotime("--control", str(self.path), *args)
        daemon.line("listening for operators on ")
        self.address = daemon.address("TCP")
        return daemon

    def control(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """`echotime control WORDS`."""
        return self.tool("control", "--socket", str(self.path), *words)

    def told(self, *words: str) -> str:
        """What it says; it must work out."""
        ended = self.control(*words)
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))
        return ended.stdout.decode()

    def rows(self, *words: str) -> Any:
        """The same from --json."""
        return json.loads(self.told("--json", *words))

    def asks(self, message: bytes) -> socket.socket:
        """A client whose message waits at the desk."""
        before = len(self.rows("questions"))
        sock = connect(self.address)
        self.addCleanup(sock.close)
        sock.sendall(message)
        self.wait_for(lambda: len(self.rows("questions")) == before + 1)
        return sock

    def wait_for(self, condition: Any) -> None:
        """Until it is true; each look takes its time."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            self.assertLess(time.monotonic(), deadline)

    def plain(self) -> socket.socket:
        """The socket itself."""
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.settimeout(LIMIT)
        sock.connect(str(self.path))
        return sock


class SocketTests(ControlTestCase):
    """The socket in the file system."""

    def mode(self) -> int:
        """Its permissions."""
        return stat.S_IMODE(self.path.stat().st_mode)

    def test_mode_and_removal(self) -> None:
        """Only the owner may use it, and it is gone with the daemon."""
        daemon = self.controlled()
        self.assertEqual(self.mode(), 0o600)
        self.told("status")
        self.served(daemon)
        self.assertFalse(self.path.exists())

    def test_group(self) -> None:
        """With a group its members may, too."""
        name = grp.getgrgid(os.getegid()).gr_name
        self.controlled("--control-group", name)
        self.assertEqual((self.mode(), self.path.stat().st_gid), (0o660, os.getegid()))

    def test_another_user(self) -> None:
        """Another user is refused by the file's mode, and should that be loosened, by who it is."""
        self.need("setpriv")
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        daemon = self.controlled()
        self.directory.chmod(0o755)
        code = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); "
            "s.sendall(bytes.fromhex('00085f636f6d6d616e640006537461747573') + b'\\0\\x04_ask\\0\\x011\\0\\0'); "
            "print(s.recv(100))"
        )
        command = [*NOBODY, "/usr/bin/python3", "-c", code, str(self.path)]
        ended = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
        self.assertIn(b"PermissionError", ended.stderr)
        self.path.chmod(0o666)
        ended = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
        self.assertRegex(ended.stdout + ended.stderr, rb"^b''$|Reset|BrokenPipe")
        daemon.line(r"control: (nobody|65534) \(pid \d+\) is not admitted")
        self.assertIn("echotime", self.told("status"))

    def test_stale(self) -> None:
        """What a dead daemon left is replaced; a living one's, or anything else there, is a clear error."""
        daemon = self.controlled()
        daemon.kill()
        self.assertTrue(self.path.exists())
        self.controlled()
        ended = self.refused("--tcp", "127.0.0.1:0", "--control", str(self.path))
        self.assertEqual(ended.status, 1)
        self.assertIn(f"cannot listen on the control socket {self.path}: another daemon listens on it", ended.err)
        self.assertIn("echotime", self.told("status"), "the living one was not harmed")
        other = self.directory / "file"
        other.write_text("precious")
        ended = self.refused("--tcp", "127.0.0.1:0", "--control", str(other))
        self.assertEqual(ended.status, 1)
        self.assertIn("there is something else, which is no socket", ended.err)
        self.assertEqual(other.read_text(), "precious")

    def test_faults(self) -> None:
        """Paths that cannot be, groups that are not."""
        ended = self.refused("--control", "/nowhere/x", "--control-group", "no such")
        self.assertEqual(ended.status, 2)
        self.assertIn("--control /nowhere/x: there is no directory '/nowhere'", ended.err)
        self.assertIn("--control-group no such: there is no group 'no such'", ended.err)
        ended = self.refused("--control", "x" * 200)
        self.assertIn("is no path of a Unix socket; expected 1 to 107 bytes", ended.err)
        self.assertIn("expected --control, too", self.refused("--control-group", "0").err)

    def test_run_by_systemd(self) -> None:
        """There it is in the runtime directory, without being asked for."""
        self.need("env")
        prefix = ("env", f"RUNTIME_DIRECTORY={self.directory}:/else", "INVOCATION_ID=1")
        daemon = self.twistd("echotime", "--tcp", "127.0.0.1:0", prefix=prefix)
        daemon.line(rf"listening for operators on {self.path}$")
        self.assertEqual(self.rows("status")["pid"], daemon.process.pid)

    def test_replaced_path(self) -> None:
        """A daemon whose path is another's by now does not remove that one's socket."""
        first = self.controlled()
        self.told("status")
        self.path.unlink()
        second = self.controlled()
        self.told("status")
        self.served(first)
        self.assertEqual(self.rows("status")["pid"], second.process.pid)
        self.path.unlink()
        self.served(second)

    def test_bytes_that_are_no_commands(self) -> None:
        """Whatever comes on the socket, nobody else notices, and no traceback is logged."""
        daemon = self.controlled("--wait-for-operator")
        random.seed(5)
        boxes = [
            amp_box(_command=b"Answer", _ask=b"1", number=b"x", word=b"y"),
            amp_box(_command=b"Answer", _ask=b"1"),
            amp_box(_command=b"Nonsense", _ask=b"1"),
            amp_box(_command=b"StartTLS", _ask=b"1"),
            amp_box(_answer=b"77"),
            amp_box(_error=b"77", _error_code=b"x", _error_description=b"\xff"),
            amp_box(_command=b"Sockopts", _ask=b"1", target=b"\xff", names=b"", after=b"-1"),
            amp_box(_command=b"Connections", _ask=b"1", after=b"9" * 5000),
            amp_box(_command=b"Backlog", _ask=b"1", limit=b"-5"),
            b"\xff\xff" * 100,
            b"".join(struct.pack("!H4sH9s", 4, b"%04d" % each, 9, b"x" * 9) for each in range(100)),
            b"\0\0" * 100,
            *(random.randbytes(random.randrange(1, 300)) for _ in range(50)),
            *(b"\0\x08_command\0\x06Status" + random.randbytes(9) for _ in range(20)),
        ]
        for box in boxes:
            sock = self.plain()
            with contextlib.suppress(OSError):
                sock.sendall(box)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            sock.close()
        self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)
        self.assertIn("echotime", self.told("status"))
        self.served(daemon)


def amp_box(**values: bytes) -> bytes:
    """A box of AMP: lengths and keys and values."""
    parts = [part for key, value in values.items() for part in (key.encode(), value)]
    return b"".join(struct.pack("!H", len(part)) + part for part in parts) + b"\0\0"


class VerbTests(ControlTestCase):
    """One command a call."""

    def test_questions_and_answers(self) -> None:
        """Questions wait, are listed, and are answered in any order; a half-closed client gets its word."""
        self.controlled("--wait-for-operator")
        first, second = self.asks(b"one"), self.asks(b"two\x1b[2J")
        first.shutdown(socket.SHUT_WR)
        listed = self.told("questions").splitlines()
        self.assertRegex(listed[0], "^ID +PEER +AGE +MESSAGE$")
        self.assertRegex(listed[1], r"^1 +127\.0\.0\.1:\d+ +\d+s +one$")
        self.assertRegex(listed[2], r"^2 +127\.0\.0\.1:\d+ +\d+s +two\\x1b\[2J$")
        self.assertRegex(self.told("answer", "2", "to", "two"), r"answered question 2 of 127\.0\.0\.1:\d+\n")
        self.assertEqual(read_exactly(second, 24), b"two\x1b[2J" + ACKNOWLEDGEMENT + b"to two")
        self.assertIn("answered question 1", self.told("answer", "next", ""))
        self.assertEqual(read_all(first), b"one" + ACKNOWLEDGEMENT)

    def test_who_was_faster(self) -> None:
        """The first answer wins; the other operator is told who it was."""
        self.controlled("--wait-for-operator")
        self.asks(b"x")
        racers = [self.start("control", "--socket", str(self.path), "answer", "1", str(each)) for each in range(4)]
        ends = [racer.communicate(timeout=LIMIT) for racer in racers]
        self.assertEqual(sorted(racer.returncode for racer in racers), [0, 1, 1, 1])
        for racer, (_, err) in zip(racers, ends, strict=True):
            if racer.returncode:
                self.assertRegex(err, rb"^echotime: question 1: answered by \w+ \(pid \d+\)\n$")

    def test_answer_all(self) -> None:
        """One word for all that wait, and its count."""
        self.controlled("--wait-for-operator")
        clients = [self.asks(b"x") for _ in range(3)]
        self.assertEqual(self.rows("answer", "all", "bye"), {"count": 3})
        for client in clients:
            self.assertEqual(read_exactly(client, 15), b"x" + ACKNOWLEDGEMENT + b"bye")
        ended = self.control("answer", "next", "x")
        self.assertEqual((ended.returncode, ended.stderr), (1, b"echotime: no question waits\n"))

    def test_words(self) -> None:
        """Words in the daemon's encoding; control characters only as escapes, and only raw."""
        self.controlled("--wait-for-operator", "--encoding", "cp936")
        client = self.asks("你".encode("cp936"))
        self.assertIn("你", self.told("questions"))
        ended = self.control("answer", "next", "a\tb")
        self.assertEqual(ended.returncode, 2)
        self.assertIn(b"control characters", ended.stderr)
        self.told("an", "--raw", "next", r"好\t\x00 ")
        self.assertTrue(read_exactly(client, 18).endswith("好\t\0 ".encode("cp936")))
        client = self.asks(b"x")
        self.told("an", "next", "--raw", "--json")
        self.assertEqual(read_exactly(client, 24), b"x" + ACKNOWLEDGEMENT + b"--raw --json")

    def test_connections(self) -> None:
        """Peer, age, bytes, messages, and what TCP_INFO knows; waiting for a word or not; they can be ended."""
        daemon = self.controlled("--wait-for-operator")
        client = self.asks(b"hello")
        (row,) = self.rows("connections")
        self.assertEqual(row["peer"], f"127.0.0.1:{client.getsockname()[1]}")
        self.assertEqual((row["bytes_in"], row["bytes_out"], row["messages"], row["waiting"]), (5, 16, 1, True))
        self.assertGreater(row["rtt"], 0)
        self.assertEqual(row["unsent"], 0)
        number = str(row["number"])
        self.assertIn("is ended", self.told("close", number))
        self.assertEqual(read_all(client), b"hello" + ACKNOWLEDGEMENT)
        self.assertEqual(self.rows("questions"), [])
        daemon.line("ended by operator, 5 bytes in")
        client = self.asks(b"again")
        self.told("reset", str(self.rows("connections")[0]["number"]))
        with self.assertRaises(ConnectionResetError):
            read_all(client)
        ended = self.control("close", "77")
        self.assertEqual((ended.returncode, ended.stderr), (1, b"echotime: there is no connection 77\n"))

    def test_unsent(self) -> None:
        """What a client does not take is counted."""
        self.controlled()
        client = connect(self.address)
        self.addCleanup(client.close)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(2000):
                client.send(bytes(65536))
        self.wait_for(lambda: self.rows("connections")[0]["unsent"] > 1_000_000)

    def test_sockopts(self) -> None:
        """Asked and effective on live sockets; what can change live does, what cannot says when it could."""
        self.controlled("--wait-for-operator", "--sockopt", "SO_RCVBUF=64K", "--sockopt", "tcp:SO_LINGER=5")
        client = self.asks(b"x")
        (row,) = self.rows("sockopts", "udp")
        self.assertEqual((row["name"], row["asked"], row["effective"]), ("SO_RCVBUF", "65536", "131072"))
        self.assertIn("the kernel doubles it", row["remark"])
        rows = {row["name"]: row for row in self.rows("sockopts", "1")}
        self.assertEqual(rows["SO_LINGER"]["effective"], "5")
        self.assertGreater(len(self.rows("sockopts", "tcp", "all")), 60)
        self.assertEqual(self.rows("sockopts", "1", "so_keepalive", "1:11")[1]["name"], "1:11")
        (row,) = self.rows("set", "1", "SO_KEEPALIVE=on")
        self.assertEqual((row["where"], row["effective"]), ("connection 1", "on"))
        (row,) = self.rows("set", "tcp", "SO_PRIORITY=3")
        self.assertEqual(row["effective"], "3")
        second = self.asks(b"y")
        rows = {row["name"]: row for row in self.rows("sockopts", "2", "SO_PRIORITY", "SO_KEEPALIVE")}
        self.assertEqual((rows["SO_PRIORITY"]["effective"], rows["SO_KEEPALIVE"]["effective"]), ("3", "off"))
        for words, reason in (
            (["set", "tcp", "IP_FREEBIND=on"], b"IP_FREEBIND must be set before bind: start with --sockopt"),
            (["set", "1", "TCP_MAXSEG=1000"], b"TCP_MAXSEG must be set before the connection; set it on tcp"),
            (["set", "udp", "TCP_NODELAY=on"], b"TCP_NODELAY has no effect on udp"),
            (["set", "tcp", "TCP_NODELAY=maybe"], b"TCP_NODELAY: 'maybe' is not a switch; expected on or off"),
            (["set", "tcp", "SO_NODELAY=on"], b"the nearest is TCP_NODELAY"),
            (["set", "tcp", "SO_BINDTODEVICE=none0"], b"No such device (ENODEV)"),
            (
                ["set", "here", "TCP_NODELAY=on"],
                b"'here' is no target; expected tcp, udp or the number",
            ),
            (["sockopts", "9"], b"there is no connection 9"),
        ):
            ended = self.control(*words)
            self.assertEqual(ended.returncode, 1, words)
            self.assertIn(reason, ended.stderr)
        began = time.monotonic()
        self.told("answer", "all", "")
        for each in (client, second):
            each.shutdown(socket.SHUT_WR)
            read_all(each)
        self.assertLess(time.monotonic() - began, 4, "a lingering close would hold everybody")

    def test_linger_on_one_connection(self) -> None:
        """SO_LINGER that was set on a live connection does not hold the daemon at its close either."""
        self.controlled()
        client = connect(self.address)
        self.addCleanup(client.close)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(500):
                client.send(bytes(65536))
        self.told("set", "1", "SO_LINGER=20")
        began = time.monotonic()
        self.told("close", "1")
        self.told("status")
        self.assertLess(time.monotonic() - began, 10)

    def test_backlog(self) -> None:
        """The accept queue and its limit; N listens again."""
        self.controlled("--backlog", "7")
        self.assertEqual([row["limit"] for row in self.rows("backlog")], [7])
        self.assertEqual([row["limit"] for row in self.rows("backlog", "9")], [9])
        self.assertEqual([row["limit"] for row in self.rows("backlog")], [9])
        self.assertEqual(self.control("backlog", "many").returncode, 2)

    def test_status_and_counters(self) -> None:
        """Figures."""
        daemon = self.controlled("--reply", "ok")
        one_shot(self.address, b"hello")
        text = self.told("status")
        self.assertRegex(text, rf"^echotime [\d.]+, pid {daemon.process.pid}, running \d+ s\n")
        self.assertRegex(text, rf"\nlistening on TCP 127\.0\.0\.1:{self.address[1]}, answered in [\d.]+ ms\n")
        self.assertRegex(text, r"\nlistening on UDP 127\.0\.0\.1:\d+, answered in [\d.]+ ms\n")
        self.assertRegex(text, r"connections: 0 of \d+, questions: 0, operators: 0\n")
        self.assertRegex(text, r"clock: (synchronized, off by at most \d+\.\d+ s|not synchronized|unknown: .+)\n")
        counters = self.rows("counters")
        self.assertEqual((counters["messages"], counters["bytes_out"], counters["health_checks"]), (1, 18, 2))
        self.assertEqual((counters["questions_asked"], counters["questions_unattended"]), (0, 1))

    def test_many(self) -> None:
        """Lists come whole, however long they are."""
        self.controlled("--wait-for-operator", "--max-questions-per-source", "500", "--show-messages", "0")
        clients = [connect(self.address) for _ in range(160)]
        for client in clients:
            self.addCleanup(client.close)
            client.sendall(b"\xff" * 4000)
        self.wait_for(lambda: len(self.rows("questions")) == 160)
        rows = self.rows("questions")
        self.assertEqual([row["number"] for row in rows], list(range(1, 161)))
        self.assertEqual({row["size"] for row in rows}, {4000})
        self.assertEqual(len(self.rows("connections")), 160)
        self.assertEqual(one_shot(self.address, b""), b"")

    def test_misspoken(self) -> None:
        """An unknown command is a usage error with the nearest; a beginning that is unambiguous will do."""
        self.controlled()
        for words, reason in (
            (["statsu"], b"the nearest is status"),
            (["c"], b"'c' is ambiguous: connections, close, counters"),
            (["answer", "x", "y"], b"'x' is not understood; expected the number of a question, next or all"),
            (["status", "now"], b"'now': nothing is expected here"),
            (["close", "7" * 5000], b"expected the number of a connection"),
            (["answer", "next", "x" * 70000], b"a word has at most 65535 bytes"),
            (["set", "tcp"], b"expected set tcp|udp|CONNECTION NAME=VALUE"),
        ):
            ended = self.control(*words)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(reason, ended.stderr)
        self.assertIn("echotime", self.told("stat"))

    def test_nobody_there(self) -> None:
        """No daemon is status 3, with what to look at."""
        ended = self.control("status")
        self.assertEqual(ended.returncode, 3)
        self.assertIn(b"No such file or directory\n", ended.stderr)
        self.assertIn(b"is a daemon running with --control", ended.stderr)

    def test_nobody_attends(self) -> None:
        """Without --wait-for-operator a message gets the fixed word at once while nobody watches."""
        self.controlled("--reply", "nobody")
        self.assertEqual(one_shot(self.address, b"x"), b"x" + ACKNOWLEDGEMENT + b"nobody")

    def test_stop_with_questions(self) -> None:
        """The stop gives everybody who waits the fixed word and an end of file."""
        daemon = self.controlled("--wait-for-operator", "--reply", "bye")
        client = self.asks(b"x")
        daemon.signal()
        self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"bye")
        self.assertEqual(daemon.wait().status, -signal.SIGTERM)


class WatchTests(ControlTestCase):
    """Operators who are there."""

    def watching(self, *options: str) -> subprocess.Popen[bytes]:
        """One who watches, with pipes."""
        child = self.start("control", "--socket", str(self.path), *options, "watch")
        self.wait_for(lambda: self.rows("status")["operators"] > 0)
        return child

    def line(self, child: subprocess.Popen[bytes]) -> str:
        """What is shown next."""
        assert child.stdout is not None
        return child.stdout.readline().decode().rstrip("\n")

    def test_watch(self) -> None:
        """What happens is shown as it comes; a line typed answers the oldest; others' answers are told."""
        self.controlled()
        child = self.watching()
        assert child.stdin is not None
        with connect(self.address) as client:
            client.sendall(b"hello\n")
            peer = f"127.0.0.1:{client.getsockname()[1]}"
            self.assertEqual(self.line(child), f"connection from {peer}")
            self.assertEqual(self.line(child), rf"{peer}: hello\n")
            self.assertEqual(self.line(child), rf"question 1 of {peer}: hello\n")
            child.stdin.write(b"ok\n")
            child.stdin.flush()
            self.assertEqual(read_exactly(client, 19), b"hello\n" + ACKNOWLEDGEMENT + b"ok")
            self.assertRegex(self.line(child), rf"^question 1 of {peer}: answered by \w+ \(pid {child.pid}\)$")
            self.assertEqual(self.line(child), f"answered question 1 of {peer}")
            client.sendall(b"more")
            self.line(child)
            self.line(child)
            self.told("answer", "2", "faster")
            self.assertRegex(self.line(child), rf"^question 2 of {peer}: answered by \w+ \(pid \d+\)$")
            self.assertEqual(read_exactly(client, 21), b"more" + ACKNOWLEDGEMENT + b"faster")
        self.assertEqual(self.line(child), f"connection from {peer} ended by client, 10 bytes in, 40 bytes out")

    def test_leaving(self) -> None:
        """The end of input, and being killed, are leaving: what waits gets the fixed word."""
        self.controlled("--reply", "nobody")
        for end in ("close", "kill"):
            child = self.watching()
            with connect(self.address) as client:
                client.sendall(b"x")
                self.line(child)
                self.line(child)
                self.line(child)
                if end == "kill":
                    child.kill()
                else:
                    assert child.stdin is not None
                    child.stdin.close()
                    child.stdin = None
                self.assertEqual(read_exactly(client, 18), b"x" + ACKNOWLEDGEMENT + b"nobody")
            self.wait_for(lambda: self.rows("status")["operators"] == 0)

    def test_json(self) -> None:
        """Events for programs, one object a line."""
        self.controlled()
        child = self.watching("--json")
        with connect(self.address) as client:
            client.sendall(b"\xffhello")
            events = [json.loads(self.line(child)) for _ in range(3)]
        self.assertEqual([event["event"] for event in events], ["began", "said", "asked"])
        self.assertEqual((events[2]["message"], events[2]["size"]), (r"\xffhello", 6))

    def test_who_does_not_read(self) -> None:
        """Whoever watches and does not read is not waited for, and costs no memory without bound."""
        daemon = self.controlled("--show-messages", "0", "--max-questions", "1")
        sock = self.plain()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.sendall(amp_box(_command=b"Watch", _ask=b"1", on=b"True"))
        sock.recv(100)
        with connect(self.address) as waiting, connect(self.address) as client:
            waiting.sendall(b"x")
            before = daemon.resident()
            for _ in range(3000):
                client.sendall(b"x" * 4000)
                read_exactly(client, 4000 + len(ACKNOWLEDGEMENT))
        self.assertLess(daemon.resident() - before, 10_000_000)

    def test_who_reads_is_kept(self) -> None:
        """A burst of questions, and many that wait already, are no reason to drop somebody who reads."""
        self.controlled("--wait-for-operator", "--max-questions-per-source", "400", "--show-messages", "0")
        clients = [connect(self.address) for _ in range(400)]
        for client in clients:
            self.addCleanup(client.close)
            client.sendall(b"x" * 600)
        self.wait_for(lambda: self.rows("status")["questions"] == 400)
        child = self.watching()
        assert child.stdout is not None
        for number in range(1, 401):
            self.assertIn(f"question {number} of ", child.stdout.readline().decode())
        self.assertEqual(self.rows("status")["operators"], 1)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it, with status 0 as the end that it is."""
        self.controlled()
        child = self.watching()
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(LIMIT), 0)

    def test_daemon_goes(self) -> None:
        """When the daemon ends, whoever watches is told at once, though nothing is typed."""
        daemon = self.controlled()
        child = self.watching()
        self.served(daemon)
        self.assertEqual(child.wait(LIMIT), 5)
        assert child.stderr is not None
        self.assertIn(b"the daemon is gone", child.stderr.read())

    def test_nobody_reads_the_events(self) -> None:
        """It ends in silence, as `head` does away with it."""
        self.controlled()
        child = self.watching()
        assert child.stdout is not None
        child.stdout.close()
        child.stdout = None
        one_shot_later = connect(self.address)
        self.addCleanup(one_shot_later.close)
        one_shot_later.sendall(b"x")
        self.assertEqual(child.wait(LIMIT), -signal.SIGPIPE)
        assert child.stderr is not None
        self.assertEqual(child.stderr.read(), b"")


class PromptTests(ControlTestCase):
    """At a terminal."""

    def at_prompt(self) -> OnTerminal:
        """An operator at the prompt."""
        self.need("setsid")
        env = environment({"HOME": str(self.directory), "TERM": "xterm", "XDG_STATE_HOME": ""})
        terminal = OnTerminal(self.command("control", "--socket", str(self.path)), env)
        self.addCleanup(terminal.close)
        terminal.until(r"connected to echotime [\d.]+ as \w+ \(pid \d+\)")
        terminal.until("echotime> $")
        return terminal

    def test_dialogue(self) -> None:
        """Commands, completion, what is wrong, help, and quit; a history is kept."""
        self.controlled("--wait-for-operator")
        client = self.asks(b"hello")
        terminal = self.at_prompt()
        terminal.type(b"que\t\n")
        terminal.until(r"1 +127\.0\.0\.1:\d+ +\d+s +hello\r\n")
        terminal.type(b"answr 1 x\n")
        terminal.until("unknown command 'answr'; the nearest is answer\r\n")
        terminal.type(b"answer 1  two  spaces\n")
        terminal.until("answered question 1")
        self.assertEqual(read_exactly(client, 28), b"hello" + ACKNOWLEDGEMENT + b" two  spaces")
        terminal.type(b"help\n")
        terminal.until(r"watch +show what happens")
        terminal.until("echotime> $")
        terminal.type(b"half a line\x03")
        terminal.until("echotime> $")
        terminal.type(b"quit\n")
        self.assertEqual(terminal.end(), 0)
        self.assertNotIn(b"Traceback", terminal.shown)
        history = (self.directory / ".local" / "state" / "echotime_history").read_text()
        self.assertIn("answer 1  two  spaces\n", history)

    def test_watch(self) -> None:
        """Events appear above the line that is typed, which is entered whole; Ctrl-D leads back to the prompt."""
        self.controlled()
        terminal = self.at_prompt()
        terminal.type(b"watch\n")
        terminal.until("word: $")
        with connect(self.address) as first, connect(self.address) as second:
            first.sendall(b"one")
            terminal.until("question 1 of .*: one\r\n")
            terminal.type(b"hal")
            terminal.until("hal")
            second.sendall(b"two")
            terminal.until("question 2 of .*: two\r\n.*word: hal")
            terminal.type(b"f\n")
            self.assertEqual(read_exactly(first, 18), b"one" + ACKNOWLEDGEMENT + b"half")
            terminal.until("answered question 1 of .*\r\n(.*\r)?.*word: $")
            terminal.type(b"\x04")
            terminal.until("echotime> $")
            self.assertEqual(read_exactly(second, 14), b"two" + ACKNOWLEDGEMENT)
        terminal.type(b"\x04")
        self.assertEqual(terminal.end(), 0)
