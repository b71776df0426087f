"""Test `echotime control WORDS`, one command per call."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from pathlib import Path

from echotime.control.commands import Connections, Status
from tests.support.control_case import ControlTestCase
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot, read_all, read_exactly
from tests.support.twistd_process import LIMIT


class VerbTests(ControlTestCase):
    """Run each command of `echotime control`."""

    def test_questions_and_answers(self) -> None:
        """Pending questions are listed and answered in any order; a half-closed client gets its reply."""
        self.start_daemon("--wait-for-operator")
        first, second = self.pending_client(b"one"), self.pending_client(b"two\x1b[2J")
        first.shutdown(socket.SHUT_WR)
        listed = self.output("questions").splitlines()
        self.assertRegex(listed[0], "^ID +PEER +AGE +MESSAGE$")
        self.assertRegex(listed[1], r"^1 +127\.0\.0\.1:\d+ +\d+s +one$")
        self.assertRegex(listed[2], r"^2 +127\.0\.0\.1:\d+ +\d+s +two\\x1b\[2J$")
        self.assertRegex(self.output("answer", "2", "to", "two"), r"answered question 2 of 127\.0\.0\.1:\d+\n")
        self.assertEqual(read_exactly(second, 24), b"two\x1b[2J" + ACKNOWLEDGEMENT + b"to two")
        self.assertIn("answered question 1", self.output("answer", "next", ""))
        self.assertEqual(read_all(first), b"one" + ACKNOWLEDGEMENT)

    def test_empty_lists(self) -> None:
        """An empty list says so on standard error, and what would fill it; JSON has an empty list."""
        self.start_daemon()
        for command, text in (
            ("questions", "no pending questions; a message becomes one while an operator watches, or with --wait"),
            ("connections", "no open connections"),
            ("sockopts tcp", "no socket options were requested"),
        ):
            ended = self.control(*command.split())
            self.assertEqual((ended.returncode, ended.stdout), (0, b""))
            self.assertIn(text, ended.stderr.decode())
            self.assertEqual(self.rows(*command.split()), [])

    def test_answers_are_logged(self) -> None:
        """An operator's answer is in the log, escaped, with the operator and the question."""
        daemon = self.start_daemon("--wait-for-operator")
        client = self.pending_client(b"x")
        self.output("--raw", "answer", "1", r"yes\x1b")
        peer = f"127.0.0.1:{client.getsockname()[1]}"
        daemon.line(rf"#info\] question 1 of {peer} answered by \w+ \(pid \d+\): yes\\x1b$")

    def test_who_was_faster(self) -> None:
        """The first answer wins; the other operators learn who gave it."""
        self.start_daemon("--wait-for-operator")
        self.pending_client(b"x")
        racers = [self.start("control", "--socket", str(self.path), "answer", "1", str(each)) for each in range(4)]
        ends = [racer.communicate(timeout=LIMIT) for racer in racers]
        self.assertEqual(sorted(racer.returncode for racer in racers), [0, 1, 1, 1])
        for racer, (_, err) in zip(racers, ends, strict=True):
            if racer.returncode:
                self.assertRegex(err, rb"^echotime: question 1: answered by \w+ \(pid \d+\)\n$")

    def test_answer_all(self) -> None:
        """`answer all` gives all pending questions one reply, and returns their number."""
        self.start_daemon("--wait-for-operator")
        clients = [self.pending_client(b"x") for _ in range(3)]
        self.assertEqual(self.rows("answer", "all", "bye"), {"count": 3})
        for client in clients:
            self.assertEqual(read_exactly(client, 15), b"x" + ACKNOWLEDGEMENT + b"bye")
        ended = self.control("answer", "next", "x")
        self.assertEqual((ended.returncode, ended.stderr), (1, b"echotime: no question is pending\n"))

    def test_words(self) -> None:
        """Replies use the daemon's encoding; control characters are accepted as escapes only, with --raw."""
        self.start_daemon("--wait-for-operator", "--encoding", "cp936")
        client = self.pending_client("你".encode("cp936"))
        self.assertIn("你", self.output("questions"))
        ended = self.control("answer", "next", "a\tb")
        self.assertEqual(ended.returncode, 2)
        self.assertIn(b"control characters", ended.stderr)
        self.output("an", "--raw", "next", r"好\t\x00 ")
        self.assertTrue(read_exactly(client, 18).endswith("好\t\0 ".encode("cp936")))
        client = self.pending_client(b"x")
        self.output("an", "next", "--raw", "--json")
        self.assertEqual(read_exactly(client, 24), b"x" + ACKNOWLEDGEMENT + b"--raw --json")

    def test_connections(self) -> None:
        """Connections are listed with their figures and TCP_INFO, and can be closed or reset."""
        daemon = self.start_daemon("--wait-for-operator")
        client = self.pending_client(b"hello")
        (row,) = self.rows("connections")
        self.assertEqual(row["peer"], f"127.0.0.1:{client.getsockname()[1]}")
        self.assertEqual((row["bytes_in"], row["bytes_out"], row["messages"], row["awaiting_reply"]), (5, 16, 1, True))
        self.assertGreater(row["rtt"], 0)
        self.assertEqual(row["unsent"], 0)
        number = str(row["number"])
        self.assertIn("ended", self.output("close", number))
        with self.assertRaises(ConnectionResetError):  # its reply is pending, so a FIN would be untrue
            read_all(client)
        self.assertEqual(self.rows("questions"), [])
        daemon.line("ended by operator, 5 bytes in")
        client = self.pending_client(b"hello")
        number = str(self.rows("connections")[0]["number"])
        self.output("answer", "all", "ok")
        self.output("close", number)
        self.assertEqual(read_all(client), b"hello" + ACKNOWLEDGEMENT + b"ok")
        client = self.pending_client(b"again")
        self.output("reset", str(self.rows("connections")[0]["number"]))
        with self.assertRaises(ConnectionResetError):
            read_all(client)
        ended = self.control("close", "77")
        self.assertEqual((ended.returncode, ended.stderr), (1, b"echotime: no connection 77\n"))

    def test_unsent(self) -> None:
        """Output that a client does not read is counted as unsent."""
        self.start_daemon()
        client = connect(self.address)
        self.addCleanup(client.close)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(2000):
                client.send(bytes(65536))
        self.wait_for(lambda: self.ask(Connections, after=b"0")["rows"][0]["unsent"] > 1_000_000)
        self.assertGreater(self.rows("connections")[0]["unsent"], 1_000_000)

    def test_sockopts(self) -> None:
        """Options of live sockets are shown and changed; an option that cannot change names its deadline."""
        self.start_daemon("--wait-for-operator", "--sockopt", "SO_RCVBUF=64K", "--sockopt", "tcp:SO_LINGER=600")
        client = self.pending_client(b"x")
        (row,) = self.rows("sockopts", "udp")
        self.assertEqual((row["name"], row["requested"], row["effective"]), ("SO_RCVBUF", "65536", "131072"))
        self.assertIn("the kernel doubles it", row["note"])
        rows = {row["name"]: row for row in self.rows("sockopts", "1")}
        self.assertEqual(rows["SO_LINGER"]["effective"], "600")
        self.assertGreater(len(self.rows("sockopts", "tcp", "all")), 60)
        self.assertEqual(self.rows("sockopts", "1", "so_keepalive", "1:11")[1]["name"], "1:11")
        (row,) = self.rows("set", "1", "SO_KEEPALIVE=on")
        self.assertEqual((row["socket"], row["effective"]), ("connection 1", "on"))
        (row,) = self.rows("set", "tcp", "SO_PRIORITY=3")
        self.assertEqual(row["effective"], "3")
        second = self.pending_client(b"y")
        rows = {row["name"]: row for row in self.rows("sockopts", "2", "SO_PRIORITY", "SO_KEEPALIVE")}
        self.assertEqual((rows["SO_PRIORITY"]["effective"], rows["SO_KEEPALIVE"]["effective"]), ("3", "off"))
        for arguments, reason in (
            (["set", "tcp", "IP_FREEBIND=on"], b"IP_FREEBIND must be set before bind: start with --sockopt"),
            (["set", "1", "TCP_MAXSEG=1000"], b"TCP_MAXSEG must be set before the connection; set it on tcp"),
            (["set", "udp", "TCP_NODELAY=on"], b"TCP_NODELAY has no effect on udp"),
            (["set", "tcp", "SO_BINDTODEVICE=none0"], b"No such device (ENODEV)"),
            (["sockopts", "9"], b"no connection 9"),
        ):
            ended = self.control(*arguments)
            self.assertEqual(ended.returncode, 1, arguments)
            self.assertIn(reason, ended.stderr)
        for arguments, reason in (
            (["set", "tcp", "TCP_NODELAY=maybe"], b"TCP_NODELAY: 'maybe' is not a switch; expected on or off\n"),
            (["set", "tcp", "SO_NODELAY=on"], b"the nearest is TCP_NODELAY\n"),
            (["sockopts", "tcp", "SO_NODELAY"], b"the nearest is TCP_NODELAY\n"),
            (["sockopts", "tpc"], b"unknown target 'tpc'; expected tcp, udp or a connection number\n"),
            (["set", "here", "TCP_NODELAY=on"], b"unknown target 'here'; expected tcp, udp or a connection number\n"),
        ):
            ended = self.control(*arguments)
            self.assertEqual(ended.returncode, 2, arguments)
            self.assertIn(b"echotime control: error: ", ended.stderr)
            self.assertIn(reason, ended.stderr)
        began = time.monotonic()
        self.output("answer", "all", "")
        for each in (client, second):
            each.shutdown(socket.SHUT_WR)
            read_all(each)
        self.assertLess(time.monotonic() - began, LIMIT, "the close lingered")

    def test_linger_on_one_connection(self) -> None:
        """SO_LINGER set on a live connection does not block the daemon when it closes it."""
        self.start_daemon()
        client = connect(self.address)
        self.addCleanup(client.close)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(500):
                client.send(bytes(65536))
        self.output("set", "1", "SO_LINGER=600")
        began = time.monotonic()
        self.output("close", "1")
        self.output("status")
        self.assertLess(time.monotonic() - began, LIMIT)

    def test_backlog(self) -> None:
        """The accept queue and its limit are shown, and a number sets the limit, but not that of no_accept."""
        self.start_daemon("--backlog", "7", "--behave", "0=no_accept:backlog=0")
        self.assertEqual([row["limit"] for row in self.rows("backlog")], [7, 0])
        self.assertEqual([row["limit"] for row in self.rows("backlog", "9")], [9])
        self.assertEqual([row["limit"] for row in self.rows("backlog")], [9, 0])
        for text, message in (
            ("many", b"backlog many: must be a whole number, at least 1\n"),
            ("0", b"backlog 0: must be at least 1\n"),
        ):
            ended = self.control("backlog", text)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(message, ended.stderr)
        highest = int(Path("/proc/sys/net/core/somaxconn").read_bytes())
        ended = self.control("backlog", str(highest + 1))
        self.assertIn(f" {highest}\n".encode(), ended.stdout)
        reason = f": requested {highest + 1}, effective {highest}, because of net.core.somaxconn\n"
        self.assertRegex(ended.stderr.decode(), rf"\Aechotime: TCP 127\.0\.0\.1:\d+{reason}\Z")

    def test_status_and_counters(self) -> None:
        """`status` and `counters` show the daemon's figures."""
        daemon = self.start_daemon("--reply", "ok")
        one_shot(self.address, b"hello")
        text = self.output("status")
        self.assertRegex(text, rf"^echotime [\d.]+, pid {daemon.process.pid}, running \d+ s\n")
        self.assertRegex(text, rf"\nlistening on TCP 127\.0\.0\.1:{self.address[1]}, probe answered in [\d.]+ ms\n")
        self.assertRegex(text, r"\nlistening on UDP 127\.0\.0\.1:\d+, probe answered in [\d.]+ ms\n")
        self.assertRegex(text, r"connections: 0 of \d+, questions: 0, operators: 0\n")
        self.assertNotIn("also listening", text)
        self.assertRegex(text, r"clock: (synchronized, maximum error \d+\.\d+ s|not synchronized|unknown: .+)\n")
        counters = self.rows("counters")
        self.assertEqual((counters["messages"], counters["bytes_out"], counters["health_checks"]), (1, 18, 2))
        self.assertEqual((counters["questions_queued"], counters["questions_unattended"]), (0, 1))

    def test_other_listeners(self) -> None:
        """`status` names the listeners of --behave and --http, too, none of which is probed."""
        http = str(self.directory / "http")
        self.start_daemon("--http", "127.0.0.1:0", "--http", http)
        self.assertIn("\nalso listening on HTTP 127.0.0.1:", self.output("status"))
        address = self.rows("behave", "0=latency")[0]["address"]
        also = rf"\nalso listening on TCP {address}, HTTP 127\.0\.0\.1:\d+, HTTP {http}\n"
        self.assertRegex(self.output("status"), also)
        self.assertEqual(self.rows("status")["listening"][-1], f"HTTP {http}")

    def test_stop_delay(self) -> None:
        """While a stop delay lasts, `status` says that the daemon is not ready, and operators reply as before."""
        daemon = self.start_daemon("--stop-delay", "3600", "--wait-for-operator")
        self.assertIsNone(self.rows("status")["stopping_in"])
        self.assertNotIn("not ready", self.output("status"))
        daemon.signal()
        daemon.line("received SIGTERM: stopping in 3600 s")
        self.assertRegex(self.output("status"), r"\nnot ready: stopping in 3\d\d\d s, ports open until then\n")
        self.assertLessEqual(self.rows("status")["stopping_in"], 3600)
        client = self.pending_client(b"hi")
        self.output("answer", "next", "there")
        self.assertEqual(read_exactly(client, 18), b"hi" + ACKNOWLEDGEMENT + b"there")
        self.served(daemon)

    def test_many(self) -> None:
        """Lists of any length are printed completely."""
        self.start_daemon("--wait-for-operator", "--max-questions-per-source", "500", "--log-message-rate", "0")
        clients = [connect(self.address) for _ in range(160)]
        for client in clients:
            self.addCleanup(client.close)
            client.sendall(b"\xff" * 4000)
        self.wait_for(lambda: self.ask(Status)["questions"] == 160)
        rows = self.rows("questions")
        self.assertEqual([row["number"] for row in rows], list(range(1, 161)))
        self.assertEqual({row["size"] for row in rows}, {4000})
        self.assertEqual(len(self.rows("connections")), 160)
        self.assertEqual(one_shot(self.address, b""), b"")

    def test_misspoken(self) -> None:
        """An unknown command is a usage error with the nearest one; an unambiguous prefix is accepted."""
        self.start_daemon()
        for arguments, reason in (
            (["statsu"], b"the nearest is status"),
            (["c"], b"'c' is ambiguous: connections, close, counters"),
            (["answer", "x", "y"], b"invalid argument 'x'; expected a question's number, next or all"),
            (["status", "now"], b"unexpected argument 'now'"),
            (["close", "7" * 5000], b"expected a connection's number"),
            (["close"], b"expected close CONNECTION\n"),
            (["reset"], b"expected reset CONNECTION\n"),
            (["sockopts", " "], b"expected sockopts tcp|udp|CONNECTION [all|NAME...]\n"),
            (["answer"], b"expected answer [--raw] ID|next|all REPLY\n"),
            (["answer", "next", "x" * 70000], b"a reply must not exceed 65535 bytes"),
            (["set", "tcp"], b"expected set tcp|udp|CONNECTION NAME=VALUE"),
        ):
            ended = self.control(*arguments)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(reason, ended.stderr)
        self.assertIn("echotime", self.output("stat"))

    def test_options_after_the_command(self) -> None:
        """Options may follow the command, but not the text of a reply."""
        self.start_daemon("--wait-for-operator")
        path = str(self.path)
        for line in (
            "control status --json --socket " + path,
            f"control sockopts -s {path} tcp --json",
            f"control --json connections --encoding ascii --socket={path}",
        ):
            ended = self.tool(*line.split())
            self.assertEqual((ended.returncode, ended.stderr), (0, b""), line)
            json.loads(ended.stdout)
        client = self.pending_client(b"x")
        self.assertIn(b"answered", self.tool("control", "answer", "-s", path, "next", "-s", "y").stdout)
        self.assertEqual(read_exactly(client, 16), b"x" + ACKNOWLEDGEMENT + b"-s y")
        for arguments, reason in (
            (("status", "--socket"), b"argument -s/--socket: expected one argument\n"),
            (("connections", "--jsn"), b"unexpected argument '--jsn'\n"),
            (("connections", "--encoding", "zlib"), b"argument --encoding: "),
        ):
            ended = self.control(*arguments)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(reason, ended.stderr)

    def test_nobody_there(self) -> None:
        """Without a daemon the exit status is 3, with a hint."""
        for reason in (b"No such file or directory\n", b"Connection refused\n"):
            ended = self.control("status")
            self.assertEqual(ended.returncode, 3)
            self.assertIn(reason, ended.stderr)
            self.assertIn(b"start the daemon with --control PATH", ended.stderr)
            # the second time it is there
            with socket.socket(socket.AF_UNIX) as dead, contextlib.suppress(OSError):
                dead.bind(str(self.path))

    def test_other_files(self) -> None:
        """A path that is not a control socket is reported as such, also if another service listens there."""
        http = self.directory / "http"
        self.start_daemon("--http", str(http)).line("listening on HTTP ")
        datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(datagrams.close)
        datagrams.bind(str(self.directory / "datagrams"))
        for path in (http, self.directory / "datagrams", self.directory, "/etc/passwd"):
            ended = self.tool("control", "--socket", str(path), "status")
            message = f"echotime: {path}: not the control socket of a daemon\n"
            self.assertEqual((ended.returncode, ended.stderr.decode()), (1, message))

    def test_full_queue(self) -> None:
        """A daemon that accepts no control connections does not respond."""
        hung = socket.socket(socket.AF_UNIX)
        self.addCleanup(hung.close)
        hung.bind(str(self.path))
        hung.listen(0)
        self.control_socket()
        ended = self.control("status")
        message = f"echotime: {self.path}: the daemon ended, or does not respond\n"
        self.assertEqual((ended.returncode, ended.stderr.decode()), (5, message))

    def test_nobody_attends(self) -> None:
        """Without --wait-for-operator and without an operator the constant reply comes at once."""
        self.start_daemon("--reply", "nobody")
        self.assertEqual(one_shot(self.address, b"x"), b"x" + ACKNOWLEDGEMENT + b"nobody")

    def test_stop_with_questions(self) -> None:
        """A stop sends all pending clients the constant reply and an end of file."""
        daemon = self.start_daemon("--wait-for-operator", "--reply", "bye")
        client = self.pending_client(b"x")
        daemon.signal()
        self.assertEqual(read_all(client), b"x" + ACKNOWLEDGEMENT + b"bye")
        self.assertEqual(daemon.wait().status, -signal.SIGTERM)
