"""Test `echotime check` as a program that monitoring runs."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from functools import partial
from pathlib import Path

from tests.support.plain_clients import read_all
from tests.support.tool_case import ToolTestCase
from tests.support.twistd_process import LIMIT


def send_answer(answer: bytes, sock: socket.socket, datagram: bytes, peer: tuple[str, int]) -> None:
    """Answer a datagram with these bytes."""
    sock.sendto(answer, peer)


class CheckTests(ToolTestCase):
    """Status line, exit status and performance data of `echotime check`."""

    def setUp(self) -> None:
        """Have both services on one port number, as the tool expects."""
        super().setUp()
        host, port = self.echotime(shared=True).address("TCP")
        self.server = f"{host}:{port}"
        self.twistd("echotime", "--udp", self.server, shared=True).address("UDP")

    def test_ok(self) -> None:
        """A passed check prints one line with performance data, and has status 0."""
        ended = self.tool("check", self.server)
        self.assertEqual(ended.returncode, 0, ended.stdout)
        self.assertRegex(
            ended.stdout.decode(),
            r"^ECHOTIME OK - TCP echo exact in [\d.]+ ms; UDP time in [\d.]+ ms; offset [+-]0\.0 s "
            r"\| tcp=[\d.]+s;; udp=[\d.]+s;; offset=0\.0+s;86400;\n$",
        )

    def test_thresholds(self) -> None:
        """A value above -w is a warning, and above -c critical."""
        warned = self.tool("check", "--tcp", "-w", "tcp=0.000001", "-c", "tcp=100", self.server)
        self.assertEqual(warned.returncode, 1)
        self.assertRegex(warned.stdout, rb"^ECHOTIME WARNING - TCP .* ms, beyond 0\.000001 s \|.*;0\.000001;100\n$")
        critical = self.tool("check", "--udp", "-w", "udp=0.000001", "-c", "udp=0.000002", self.server)
        self.assertEqual(critical.returncode, 2)
        self.assertRegex(critical.stdout, rb"UDP time in [\d.]+ ms, beyond 0\.000002 s; offset \+0\.0 s \|")

    def test_ranges(self) -> None:
        """A threshold may be a range, of one time or of both; a warning beyond -c is a usage error."""
        warned = self.tool("check", "-w", "10:20", "-c", "100", self.server)
        self.assertEqual(warned.returncode, 1)
        self.assertRegex(
            warned.stdout.decode(),
            r"TCP .* ms, outside 10 to 20 s; UDP .* ms, outside 10 to 20 s; .*"
            r"\| tcp=[\d.]+s;10:20;100 udp=[\d.]+s;10:20;100 ",
        )
        critical = self.tool("check", "--tcp", "-c", "tcp=@0:10m", self.server)
        self.assertEqual(critical.returncode, 2)
        self.assertRegex(critical.stdout, rb"ms, at most 600 s \| tcp=[\d.]+s;;@0:600\n$")
        wrong = self.tool("check", "-w", "offset=5", "-c", "offset=2", self.server)
        self.assertEqual(wrong.returncode, 3)
        self.assertIn(b"-w offset=5 is beyond -c offset=2: every warning would be critical", wrong.stdout)
        for args, message in (
            (("--tcp", "-w", "offset=2"), b"-w offset=2: not measured with --tcp"),
            (("--tcp", "-c", "tcp=1m", "-c", "udp=10:20"), b"-c udp=10:20: not measured with --tcp"),
            (("--udp", "-w", "tcp=5"), b"-w tcp=5: not measured with --udp"),
        ):
            wrong = self.tool("check", *args, self.server)
            self.assertEqual((wrong.returncode, wrong.stdout), (3, b"ECHOTIME UNKNOWN - " + message + b"\n"))
        for line in ("--udp -w 1h -c offset=1h", "--tcp --udp -w offset=1h"):
            self.assertEqual(self.tool("check", *line.split(), self.server).returncode, 0)

    def test_plugin_options(self) -> None:
        """-H, -p, -t and -v are those of other plugins."""
        host, _, port = self.server.partition(":")
        ended = self.tool("check", "-H", host, "-p", port, "-t", "5s", "-v", "--tcp")
        self.assertEqual(ended.returncode, 0, ended.stdout)
        first, second = ended.stdout.decode().splitlines()
        self.assertTrue(first.startswith("ECHOTIME OK - "))
        self.assertRegex(second, rf"^tcp: [\d.]+ s from {self.server}, warning -, critical -$")
        for args, message in (
            (("-H", host, self.server), b"the server is given twice"),
            (("-p", "7", self.server), b"the port is given twice"),
            ((), b"the host is missing"),
        ):
            wrong = self.tool("check", *args)
            self.assertEqual(wrong.returncode, 3)
            self.assertIn(message, wrong.stdout)

    def test_json(self) -> None:
        """--json prints the result, also of a wrong command line, with the same status."""
        ended = self.tool("check", "--json", "-c", "tcp=1h", self.server)
        found = json.loads(ended.stdout)
        self.assertEqual((ended.returncode, found["state"], found["status"]), (0, "OK", 0))
        self.assertEqual(found["up"], {"tcp": True, "udp": True})
        self.assertEqual(found["addresses"], {"tcp": self.server, "udp": self.server})
        self.assertEqual(list(found["measurements"]), ["tcp", "udp", "offset"])
        self.assertEqual(found["measurements"]["tcp"]["critical"], "3600")
        wrong = self.tool("check", "--json", "--bogus", self.server)
        self.assertEqual((wrong.returncode, json.loads(wrong.stdout)["state"]), (3, "UNKNOWN"))

    def test_critical(self) -> None:
        """A service that is down, not exact, or gives no time is critical."""
        ended = self.tool("check", "--timeout", "1", self.closed_port())
        self.assertEqual(ended.returncode, 2)
        self.assertIn(b"ECHOTIME CRITICAL - TCP echo: connection refused", ended.stdout)
        cut = self.tcp_server(lambda connection: connection.sendall(read_all(connection)[:100]))
        self.assertRegex(
            self.tool("check", "--tcp", cut).stdout,
            rb"TCP echo: cut after 100 of 5022 bytes, end of file .* after the half-close \(usual cause: a proxy",
        )
        closed = self.tcp_server(read_all)
        self.assertRegex(self.tool("check", "--tcp", closed).stdout, rb"TCP echo: end of file .*, 0 of 5022 bytes \(")
        other = self.tool("check", "--tcp", "--reply", "ok", self.server)
        self.assertRegex(
            other.stdout, rb"TCP echo: wrong byte at offset \d+: expected 'o', found .* another ack.*reply"
        )
        daytime = self.udp_server(lambda sock, datagram, peer: sock.sendto(b"Sunday", peer))
        self.assertIn(b"UDP time: bad response, 6 bytes", self.tool("check", "--udp", daytime).stdout)

    def test_offset(self) -> None:
        """The clock's offset is measured, and compared with its thresholds."""
        off = self.udp_server(lambda sock, datagram, peer: sock.sendto(struct.pack("!I", int(time.time()) - 100), peer))
        ended = self.tool("check", "--udp", "-w", "offset=2", "-c", "offset=50", off)
        self.assertEqual(ended.returncode, 2)
        self.assertRegex(ended.stdout, rb"offset -(99|100)\.\d s")

    def test_far_off(self) -> None:
        """A clock that is off by years is a warning without thresholds, too, and the right epoch is suggested."""
        for difference, options, text in (
            (2_208_988_800, [], ", beyond 86400 s: the time is probably in seconds since 1900: use --epoch 1900 |"),
            (
                0,
                ["--epoch", "1900"],
                ", beyond 86400 s: the time is probably in seconds since 1970: use --epoch unix |",
            ),
            (-100_000_000, [], ", beyond 86400 s |"),
        ):
            seconds = (int(time.time()) + difference) % 2**32
            server = self.udp_server(partial(send_answer, struct.pack("!I", seconds)))
            ended = self.tool("check", "--udp", *options, server)
            self.assertEqual(ended.returncode, 1, ended.stdout)
            self.assertIn(text, ended.stdout.decode())
            if difference != -100_000_000:
                advice = text.removeprefix(", beyond 86400 s").removesuffix(" |")
                self.assertIn(advice, self.tool("time", *options, server).stderr.decode())

    def test_unknown(self) -> None:
        """A wrong command line is unknown, not critical."""
        for args in ([], ["--bogus", self.server], ["-w", "rtt=1", self.server]):
            self.assertEqual(self.tool("check", *args).returncode, 3)

    def test_ended_by_signal(self) -> None:
        """A check that is ended by SIGTERM prints its line, and is unknown."""
        requested = threading.Event()
        silent = self.udp_server(lambda sock, datagram, peer: requested.set())
        for options in (["--udp"], []):
            requested.clear()
            child = self.start("check", "--timeout", f"{LIMIT}", *options, silent)
            self.assertTrue(requested.wait(LIMIT))
            child.terminate()
            line = child.communicate(timeout=LIMIT)[0]
            self.assertIn(b"UDP time: ended by SIGTERM before there was a result", line)
            if options:
                self.assertEqual((child.returncode, line[:19]), (3, b"ECHOTIME UNKNOWN - "))

    def test_silent(self) -> None:
        """A server that accepts and does not answer costs the time limit, with no line on standard error."""
        released = threading.Event()
        server = self.tcp_server(lambda connection: released.wait(LIMIT))
        self.addCleanup(released.set)
        ended = self.tool("check", "--tcp", "--timeout", "0.5", server)
        self.assertEqual((ended.returncode, ended.stderr), (2, b""))
        self.assertEqual(
            ended.stdout, b"ECHOTIME CRITICAL - TCP echo: timed out: connected, no answer, after 0 of 5022 bytes\n"
        )

    def test_late_answer(self) -> None:
        """An answer to the first request counts when the second one was sent already."""
        peers: list[tuple[str, int]] = []

        def late(sock: socket.socket, datagram: bytes, peer: tuple[str, int]) -> None:
            peers.append(peer)
            if len(peers) == 2:
                sock.sendto(struct.pack("!I", int(time.time())), peers[0])

        ended = self.tool("check", "--udp", "--timeout", "3", self.udp_server(late))
        self.assertEqual((ended.returncode, len(peers)), (0, 2), ended.stdout)

    def test_textfile_on_no_file(self) -> None:
        """Only a regular file is replaced, and a service that is down is critical all the same."""
        path = Path(self.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
        ended = self.tool("check", "--textfile", str(path), self.server)
        self.assertEqual(ended.returncode, 3)
        self.assertIn(b"not a regular file", ended.stdout)
        self.assertTrue(path.is_fifo())
        self.assertEqual(self.tool("check", "--textfile", str(path), self.closed_port()).returncode, 2)

    def test_textfile(self) -> None:
        """--textfile replaces the file in one step, readable for the collector."""
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        path = directory / "echotime.prom"
        path.write_text("old\n", encoding="ascii")
        self.assertEqual(self.tool("check", "--textfile", str(path), self.server).returncode, 0)
        text = path.read_text(encoding="ascii")
        self.assertIn(f'echotime_check_up{{server="{self.server}",service="tcp"}} 1\n', text)
        self.assertEqual(text.count("# TYPE"), 4)
        self.assertEqual(
            (path.stat().st_mode & 0o777, [each.name for each in directory.iterdir()]), (0o644, [path.name])
        )
        ended = self.tool("check", "--textfile", str(directory / "none" / "x.prom"), self.server)
        self.assertEqual(ended.returncode, 3)
        self.assertIn(b"No such file or directory", ended.stdout)
