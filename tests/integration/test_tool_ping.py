"""Test `echotime ping`, against the daemon and broken servers."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess

from tests.support.pty_child import OnTerminal
from tests.support.tool_case import TOOL, ToolTestCase, environment
from tests.support.twistd_process import LIMIT

Peer = tuple[str, int]
_SUMMARY_KEYS = [
    "server",
    "address",
    "way",
    "size",
    "loss_percent",
    "sent",
    "received",
    "duplicates",
    "late",
    "wrong",
    "errors",
    "seconds",
    "round_trip_seconds",
]


class PingTests(ToolTestCase):
    """Ping a daemon and broken servers."""

    def test_ways(self) -> None:
        """--tcp, --connect and --udp print a line per answer and the summary."""
        daemon = self.echotime("--reply", "ok")
        for way, transport in (("--tcp", "TCP"), ("--connect", "TCP"), ("--udp", "UDP")):
            server = "{}:{}".format(*daemon.address(transport))
            ended = self.tool("ping", way, "-c", "3", "-i", "0.01", server)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            header, *lines = ended.stdout.decode().splitlines()
            self.assertRegex(header, rf"^PING {server}: .*, {0 if way == '--udp' else 56} bytes$")
            if way != "--tcp":
                lines[:3] = sorted(lines[:3])  # each probe has a socket of its own, and answers may come in any order
            for number in (1, 2, 3):
                self.assertRegex(lines[number - 1], rf"^from {server}: seq={number} time=\d+\.\d{{3}} ms$")
            self.assertEqual(lines[3], f"--- {server} echotime ping statistics ---")
            self.assertRegex(lines[4], r"^probes: 3, answers: 3, loss: 0\.0%, time ")
            self.assertRegex(lines[5], r"^min/avg/max/mdev/p50/p99 = [\d./]+ ms$")
            self.assertEqual(lines[6:], [], "nothing after the summary")

    def test_many_in_one_message(self) -> None:
        """No probe is lost if many of them pile up, and the acknowledgement of one message is inside of a probe."""
        server = "{}:{}".format(*self.echotime(shared=True).address("TCP"))
        ended = self.tool("ping", "-i", "1us", "-c", "2000", "-q", "-W", "60", server)
        self.assertRegex(ended.stdout, rb"\nprobes: 2000, answers: 2000, loss: 0\.0%, ")

    def test_interrupt(self) -> None:
        """Ctrl-C ends `ping` with the summary and status 0."""
        child = self.start("ping", "-i", "0.05", "{}:{}".format(*self.echotime(shared=True).address("TCP")))
        assert child.stdout is not None
        child.stdout.readline()
        self.assertRegex(child.stdout.readline(), rb"seq=1 ")
        child.send_signal(signal.SIGINT)
        rest = child.stdout.read()
        self.assertIn(b"echotime ping statistics", rest)
        self.assertEqual(child.wait(LIMIT), 0)

    def test_json_and_histogram(self) -> None:
        """--json prints one object and nothing else; --histogram draws bars that count the answers."""
        server = "{}:{}".format(*self.echotime(shared=True).address("UDP"))
        ended = self.tool("ping", "--udp", "--json", "-c", "5", "-i", "0.01", server)
        summary = json.loads(ended.stdout)
        self.assertEqual((summary["sent"], summary["received"], summary["loss_percent"]), (5, 5, 0))
        self.assertEqual(list(summary), _SUMMARY_KEYS)
        times = summary["round_trip_seconds"]
        self.assertEqual(list(times), ["min", "avg", "max", "mdev", "p50", "p99"])
        self.assertLessEqual(times["min"], times["p99"])
        self.assertEqual(times, {name: round(each, 6) for name, each in times.items()})
        drawn = self.tool("ping", "--udp", "-q", "--histogram", "-c", "20", "-i", "0.005", server).stdout.decode()
        self.assertEqual(sum(map(int, re.findall(r"\|#* *\s(\d+)$", drawn, re.MULTILINE))), 20, drawn)

    def test_json_lines(self) -> None:
        """--json-lines prints an object for each event, and the summary as the last one."""
        server = "{}:{}".format(*self.echotime().address("TCP"))
        ended = self.tool("ping", "--json-lines", "-c", "2", "-i", "10ms", server)
        *replies, summary = map(json.loads, ended.stdout.splitlines())
        self.assertEqual([(each["event"], each["seq"]) for each in replies], [("reply", 1), ("reply", 2)])
        self.assertEqual({each["address"] for each in (*replies, summary)}, {server})
        self.assertEqual((summary["event"], summary["received"]), ("summary", 2))
        refused = self.tool("ping", "--udp", "--json-lines", "-c", "1", self.closed_port())
        event = json.loads(refused.stdout.splitlines()[0])
        self.assertEqual((event["event"], event["seq"]), ("failed", 1))

    def test_size_and_pattern(self) -> None:
        """-s and -p make the probes, also longer ones than the server reads at once."""
        received: list[bytes] = []

        def answer(sock: socket.socket, datagram: bytes, peer: Peer) -> None:
            received.append(datagram)
            sock.sendto(bytes(4), peer)

        self.tool("ping", "--udp", "-c", "1", "-s", "1k", "-p", "ff00", self.udp_server(answer))
        self.assertEqual(received, [b"\xff\x00" * 512])
        server = "{}:{}".format(*self.echotime().address("TCP"))
        for way in ("--tcp", "--connect"):
            ended = self.tool("ping", way, "-c", "2", "-i", "0.1", "-s", "20k", "-p", "0a", server)
            self.assertIn(b", 20480 bytes\n", ended.stdout)
            self.assertIn(b"probes: 2, answers: 2, loss: 0.0%", ended.stdout)
        for args, message in (
            (("-s", "38"), b"argument -s/--size: must be between 39 and 65507 bytes"),
            (("--udp", "-s", "65508"), b"between 0 and 65507 bytes"),
            (("-p", "12345"), b"a port is given as HOST:PORT"),
        ):
            ended = self.tool("ping", *args, server)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(message, ended.stderr)

    def test_counts_at_sigquit(self) -> None:
        """SIGQUIT prints the counts on standard error, and `ping` goes on; -D prints the time."""
        child = self.start("ping", "-D", "-i", "0.01", "{}:{}".format(*self.echotime().address("TCP")))
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        self.assertRegex(child.stdout.readline(), rb"^\[\d{10}\.\d{6}\] from .* seq=1 time=")
        child.send_signal(signal.SIGQUIT)
        self.assertRegex(child.stderr.readline(), rb"^probes: \d+, answers: \d+, loss: .*%, time [\d.]+ s\n$")
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=LIMIT)
        self.assertEqual(child.returncode, 0)

    def test_bad_answers(self) -> None:
        """Duplicate, late and wrong answers are counted separately."""
        turn: list[int] = []

        def answer(sock: socket.socket, datagram: bytes, peer: Peer) -> None:
            turn.append(1)
            if len(turn) == 1:
                sock.sendto(bytes(4), peer)
                sock.sendto(bytes(4), peer)
            elif len(turn) == 2:
                sock.sendto(bytes(5), peer)
            elif len(turn) == 3:
                late.append(peer)
            else:
                sock.sendto(bytes(4), late.pop())

        late: list[Peer] = []
        ended = self.tool("ping", "--udp", "-c", "4", "-i", "1", "-W", "0.8", self.udp_server(answer))
        text = ended.stdout.decode()
        self.assertIn("seq=1 time=", text)
        self.assertRegex(text, r"seq=1 .* \(duplicate\)\n")
        self.assertRegex(text, r"seq=2 .* \(wrong\) 5 bytes: ")
        self.assertRegex(text, r"seq=3 .* \(late\)\n")
        self.assertIn("seq=4: no answer", text)
        self.assertIn("probes: 4, answers: 1, loss: 75.0%", text)
        self.assertIn("duplicates: 1, late: 1, wrong: 1, errors: 0", text)

    def test_silent_server(self) -> None:
        """A server that accepts and stays silent is told apart from one that does not accept."""
        listener = socket.create_server(("127.0.0.1", 0))  # the kernel accepts
        self.addCleanup(listener.close)
        server = "{}:{}".format(*listener.getsockname())
        ended = self.tool("ping", "--connect", "-c", "1", "-W", "0.5", server)
        self.assertIn(b"seq=1: timed out: connected, no answer\n", ended.stdout)
        ended = self.tool("ping", "--connect", "--json-lines", "-c", "1", "-W", "0.5", server)
        lost = json.loads(ended.stdout.splitlines()[0])
        self.assertEqual((lost["event"], lost["detail"]), ("lost", "timed out: connected, no answer"))

    def test_last_error(self) -> None:
        """The summary names the last error, also where no line is printed for each."""
        refused = "connection refused: nothing listens on that port, or a firewall rejects it"
        for way in ("--udp", "--tcp", "--connect"):
            ended = self.tool("ping", way, "-q", "-c", "1", self.closed_port())
            self.assertIn(f"errors: 1\nlast error: {refused}\n".encode(), ended.stdout)
        self.assertEqual(
            json.loads(self.tool("ping", "--json", "-c1", self.closed_port()).stdout)["last_error"], refused
        )
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)))
        ended = self.tool("ping", "-q", "-c", "4", "-i", "0.1", server)
        self.assertIn(b"last error: the server closed the connection\n", ended.stdout)

    def test_interrupt_on_a_terminal(self) -> None:
        """The summary begins a new line after the terminal's ^C."""
        self.need("setsid")
        server = "{}:{}".format(*self.echotime(shared=True).address("TCP"))
        terminal = OnTerminal(self.command("ping", "-i", "1h", server), environment({}))
        self.addCleanup(terminal.close)
        terminal.until("seq=1 [^\r]*\r\n")
        terminal.type(b"\x03")
        terminal.until(r"^\^C\r\n--- ")
        self.assertEqual(terminal.end(), 0)

    def test_many_answers_at_once(self) -> None:
        """Answers that are still in the socket at the end cause no traceback."""

        def thrice(sock: socket.socket, datagram: bytes, peer: Peer) -> None:
            for _ in range(3):
                sock.sendto(bytes(4), peer)

        ended = self.tool("ping", "--udp", "-c", "1", self.udp_server(thrice))
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))

    def test_server_ends(self) -> None:
        """A connection that the server ends between two probes ends `ping`, and is reported."""
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)))
        ended = self.tool("ping", "-c", "4", "-i", "0.1", server)
        self.assertIn(f"{server}: the server closed the connection\n".encode(), ended.stdout)
        self.assertIn(b"errors: 1", ended.stdout)

    def test_wrong_option(self) -> None:
        """A socket option that cannot be set is reported."""
        for way in ("--tcp", "--connect", "--udp"):
            ended = self.tool("ping", way, "-c", "1", "--sockopt", "SO_BINDTODEVICE=none0", self.closed_port())
            self.assertEqual((ended.returncode, ended.stderr), (1, b""))
            self.assertIn(b"SO_BINDTODEVICE=none0: No such device", ended.stdout)

    def test_several_addresses(self) -> None:
        """Of several addresses of a name the one that answers is used."""
        port = self.echotime(shared=True).address("UDP")[1]
        ended = self.tool("ping", "--udp", "-c", "1", f"localhost:{port}")
        self.assertEqual(ended.returncode, 0, ended.stdout)

    def test_broken_pipe(self) -> None:
        """If its output is closed, `ping` ends silently by SIGPIPE."""
        child = self.start("ping", "-i", "0.01", "{}:{}".format(*self.echotime(shared=True).address("TCP")))
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        self.assertEqual(child.wait(LIMIT), -signal.SIGPIPE)
        self.assertEqual(child.stderr.read(), b"")

    def test_few_descriptors(self) -> None:
        """Sockets that wait for late answers do not use up the descriptors."""
        self.need("prlimit")
        server = "{}:{}".format(*self.echotime(shared=True).address("UDP"))
        command = [*TOOL, "ping", "--udp", "-q", "-c", "200", "-i", "0.001", server]
        ended = subprocess.run(
            ["prlimit", "--nofile=64", *command], capture_output=True, check=False, timeout=LIMIT, env=environment({})
        )
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))
        self.assertIn(b"probes: 200, answers: 200, loss: 0.0%", ended.stdout)

    def test_nobody(self) -> None:
        """Without an answer the status is 1; refusals and the deadline are reported."""
        for way in ("--tcp", "--connect", "--udp"):
            ended = self.tool("ping", way, "-c", "2", "-i", "0.01", self.closed_port())
            self.assertEqual(ended.returncode, 1)
            self.assertIn(b"connection refused", ended.stdout)
        silent = self.udp_server(lambda sock, datagram, peer: None)
        ended = self.tool("ping", "--udp", "-w", "0.3", "-i", "0.1", silent)
        self.assertEqual(ended.returncode, 1)
        self.assertIn(b"loss: 100.0%", ended.stdout)
        self.assertEqual(self.tool("ping", "nowhere.invalid").returncode, 6)
