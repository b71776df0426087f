"""Test each TCP behavior of --behave with plain sockets: what a client sees of it."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import struct
import time

from tests.support.behave_case import ACK, BehaveTestCase, behaving_address
from tests.support.plain_clients import connect, read_all, read_exactly

TIMEOUT = 0.3
"""Seconds in which nothing may arrive. A test cannot fail because they are few."""


class DelayTests(BehaveTestCase):
    """Receive the right bytes, and late."""

    def elapsed(self, behavior: str, sent: bytes) -> tuple[list[float], bytes]:
        """Return when each read of the answer returned, in seconds since the message, and all that it returned."""
        sock = self.choose(behavior)
        began = time.monotonic()
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        times, answer = [], b""
        while data := sock.recv(65536):
            times.append(time.monotonic() - began)
            answer += data
        return [*times, time.monotonic() - began], answer

    def test_latency(self) -> None:
        """Echo, acknowledgement and FIN come after the delay, and in order."""
        times, answer = self.elapsed("latency:delay=0.2", b"m")
        self.assertEqual(answer, b"m" + ACK)
        self.assertGreaterEqual(min(times), 0.2)

    def test_jitter(self) -> None:
        """The delay varies by the jitter, the same way for the same seed, and the order stays."""
        sock = self.choose("latency:delay=30ms,jitter=30ms,seed=1")
        for number in range(20):
            sock.sendall(b"%02d" % number)
            self.assertEqual(read_exactly(sock, 2 + len(ACK)), b"%02d" % number + ACK)

    def test_bandwidth(self) -> None:
        """The answer takes as long as its size and the rate say."""
        times, answer = self.elapsed("bandwidth:rate=1000", b"x" * 300)
        self.assertEqual(answer, b"x" * 300 + ACK)
        # the first piece of 50 bytes comes at once
        self.assertGreaterEqual(times[-1], 0.25)
        self.assertGreaterEqual(len(times), 6)

    def test_slicer(self) -> None:
        """The answer comes in pieces of the size, at least the gap apart."""
        times, answer = self.elapsed("slicer:size=5,gap=0.05", b"0123456789abcdefghi")
        self.assertEqual(answer, b"0123456789abcdefghi" + ACK)
        self.assertGreaterEqual(times[-1], 5 * 0.05)

    def test_trickle(self) -> None:
        """A first read returns one byte, and the last byte comes after as many gaps."""
        sock = self.choose("trickle:gap=0.03")
        began = time.monotonic()
        sock.sendall(b"m")
        answer = read_exactly(sock, 1 + len(ACK))
        self.assertEqual(answer, b"m" + ACK)
        self.assertGreaterEqual(time.monotonic() - began, len(ACK) * 0.03)

    def test_late_reply(self) -> None:
        """The echo comes at once, and what follows it later, also after the client's FIN."""
        sock = self.choose("late-reply:delay=0.4")
        began = time.monotonic()
        sock.sendall(b"message")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_exactly(sock, 7), b"message")
        echoed = time.monotonic() - began
        self.assertEqual(read_all(sock), ACK)
        ended = time.monotonic() - began
        self.assertGreaterEqual(ended, 0.4)
        self.assertLess(echoed, ended - 0.1)


class EndTests(BehaveTestCase):
    """See connections end too early."""

    def test_limit_data(self) -> None:
        """A FIN follows the last byte, in the middle of an answer. What is sent then causes no RST."""
        sock = self.choose("limit_data:bytes=9")
        sock.sendall(b"hello")
        self.assertEqual(read_all(sock), b"hello\nI g")
        sock.sendall(b"more")
        self.assertEqual(sock.recv(1), b"")

    def test_reset_after_bytes(self) -> None:
        """A RST follows the last byte."""
        sock = self.choose("reset_peer:bytes=7")
        sock.sendall(b"hello")
        self.assertEqual(read_exactly(sock, 7), b"hello\nI")
        with self.assertRaises(ConnectionResetError):
            sock.recv(1)

    def test_reset_instead_of_an_answer(self) -> None:
        """Without parameters a RST takes the place of the answer."""
        sock = self.choose("reset_peer")
        sock.sendall(b"hello")
        with self.assertRaises(ConnectionResetError):
            sock.recv(1)

    def test_reset_after_time(self) -> None:
        """Until the RST answers are right."""
        sock = self.choose("reset_peer:after=0.3")
        began = time.monotonic()
        sock.sendall(b"hello")
        self.assertEqual(read_exactly(sock, 5 + len(ACK)), b"hello" + ACK)
        with self.assertRaises(ConnectionResetError):
            sock.recv(1)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_close_first(self) -> None:
        """A FIN takes the place of the answer, and the client may still send."""
        sock = self.choose("close_first")
        sock.sendall(b"hello")
        self.assertEqual(sock.recv(1), b"")
        sock.sendall(b"more")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(sock.recv(1), b"")

    def test_half_close_first(self) -> None:
        """A FIN comes before the client has sent anything. What it sends is read, and not answered."""
        sock = self.choose("half_close_first")
        self.assertEqual(sock.recv(1), b"")
        sock.sendall(bytes(3_000_000))
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(sock.recv(1), b"")


class SilenceTests(BehaveTestCase):
    """Wait for answers that do not come."""

    def assert_silent(self, sock: socket.socket) -> None:
        """Check that nothing arrives for a moment, neither data nor the end."""
        sock.settimeout(TIMEOUT)
        with self.assertRaises(TimeoutError):
            sock.recv(1)

    def test_timeout(self) -> None:
        """Any amount is taken. Nothing comes back, no FIN for a FIN either."""
        sock = self.choose("timeout")
        sock.sendall(bytes(3_000_000))
        sock.shutdown(socket.SHUT_WR)
        self.assert_silent(sock)

    def test_timeout_that_ends(self) -> None:
        """With `after` a FIN comes then."""
        sock = self.choose("timeout:after=0.2")
        sock.sendall(b"hello")
        self.assertEqual(sock.recv(1), b"")

    def test_no_read(self) -> None:
        """The client can send until the buffers of both ends are full, and no more."""
        sock = self.choose("no_read")
        sock.settimeout(TIMEOUT)
        with self.assertRaises(TimeoutError):
            while True:
                sock.sendall(bytes(1_000_000))
        self.assert_silent(sock)

    def test_no_read_notices_a_reset(self) -> None:
        """A client that resets is not held, although the connection is not read."""
        identifier = "0123456789abcdef"
        sock = self.choose(f"no_read:id={identifier}")
        sock.sendall(b"unread")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        while (ended := self.report(f"report:ended={identifier}")["ended"]) is None:
            time.sleep(0.05)
        self.assertEqual(ended, "client's reset")

    def test_no_accept(self) -> None:
        """A handshake succeeds and nobody serves it. Beyond the accept queue there is no handshake."""
        daemon = self.echotime("--behave", "0=no_accept:backlog=0")
        address = behaving_address(daemon)
        with connect(address) as sock:
            sock.sendall(b"hello")
            self.assert_silent(sock)
            with socket.socket() as second:
                second.settimeout(TIMEOUT)
                self.assertIn(second.connect_ex(address), {errno.EAGAIN, errno.ETIMEDOUT})
        self.served(daemon)


class ChangedDataTests(BehaveTestCase):
    """Receive other bytes than those of an ordinary listener."""

    def test_duplicate_ack(self) -> None:
        """Each message is acknowledged twice."""
        sock = self.choose("duplicate_ack")
        for message in (b"one", b"two"):
            sock.sendall(message)
            self.assertEqual(read_exactly(sock, 3 + 2 * len(ACK)), message + 2 * ACK)

    def test_corrupt(self) -> None:
        """The bits of one byte are inverted, and no others."""
        sock = self.choose("corrupt:offset=16")
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(sock), b"hello" + ACK)
        sock = self.choose("corrupt:offset=15")
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(sock), b"hello" + ACK[:-1] + bytes([ACK[-1] ^ 0xFF]))

    def test_echo(self) -> None:
        """An ordinary echo is among the behaviors, also for a line that ends with CR LF and comes with a message."""
        sock = self.choose("echo\r\nhello")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(sock), b"hello\n" + ACK)

    def test_probability(self) -> None:
        """About the share of connections misbehaves that was asked for."""
        daemon = self.echotime("--behave", "0=corrupt:probability=0.5,seed=7")
        seen = set()
        for _ in range(40):
            with connect(behaving_address(daemon)) as sock:
                sock.sendall(b"m")
                seen.add(read_exactly(sock, 1))
        self.assertEqual(seen, {b"m", bytes([ord("m") ^ 0xFF])})


class ClientLineTests(BehaveTestCase):
    """Choose by the first line, or fail to."""

    def refusal(self, sent: bytes) -> str:
        """Return the answer to a faulty first line, after which the connection ends."""
        sock = connect(self.address)
        self.addCleanup(sock.close)
        sock.sendall(sent)
        return read_all(sock).decode()

    def test_faulty_lines(self) -> None:
        """A faulty line is answered with the reason in one printable line."""
        for line, reason in (
            (b"latncy\n", "'latncy' is not a behavior; the nearest is latency; expected one of "),
            (b"latency:dely=1\n", "latency has no parameter 'dely'; expected delay, jitter, "),
            (b"latency:delay=x\n", "delay=x: must be a time"),
            (b"latency:delay=2h\n", "delay=2h: must be a time from 0 to 3600 s"),
            (b"latency:delay\n", "delay lacks a value; expected delay=VALUE"),
            (b"latency:delay=1,delay=1\n", "delay is given twice"),
            (b"latency:probability=2\n", "probability=2: must be a probability from 0 to 1"),
            (b"slicer:gap=0\n", "gap=0: must be a time from 0.001 to 3600 s"),
            (b"echo:id=12\n", "id=12: must be 8 to 32 hexadecimal digits"),
            (b"no-accept\n", "no_accept cannot be chosen by a client; expected one of latency, "),
            (b"client\n", "client cannot be chosen by a client; expected one of latency, "),
            (b"drop:probability=1\n", "drop is for UDP; expected one of latency, "),
            (b"\n", "'' is not a behavior"),
            (b"\xff\x1b[2J\n", r"'\xff\x1b[2J' is not a behavior"),
            (b"x" * 300, "the first line is longer than 256 bytes"),
            (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", "'GET / HTTP/1.1' is not a behavior"),
        ):
            answer = self.refusal(line)
            self.assertTrue(answer.startswith(f"error: {reason}"), answer)
            self.assertEqual((answer.count("\n"), answer[-1], answer[:-1].isprintable()), (1, "\n", True), answer)

    def test_no_line(self) -> None:
        """A client that sends no line is told so after three seconds, and one that ends before it is told, too."""
        began = time.monotonic()
        self.assertEqual(self.refusal(b""), "error: no line within 3 s\n")
        self.assertGreaterEqual(time.monotonic() - began, 3)
        with connect(self.address) as sock:
            sock.sendall(b"late")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(sock), b"error: the first line has no end\n")
        with connect(self.address) as sock:
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(sock), b"")


class ReportTests(BehaveTestCase):
    """Learn how the server sees a connection."""

    def test_report(self) -> None:
        """The report names both ends and the client's SYN, and an echo follows."""
        sock = self.choose("report")
        with sock.makefile("rb") as reader:
            report = json.loads(reader.readline())
            sock.sendall(b"hello")
            self.assertEqual(reader.read(5 + len(ACK)), b"hello" + ACK)
        host, port = sock.getsockname()
        self.assertEqual(report["peer"], f"{host}:{port}")
        self.assertEqual(report["server"], f"{self.address[0]}:{self.address[1]}")
        self.assertEqual((report["via"], report["ttl"]), ("", 64))
        self.assertGreater(report["connection"], 0)
        self.assertGreater(report["mss"], 500)
        syn = bytes.fromhex(report["syn"])
        # IPv4, and the ports of a SYN
        self.assertEqual(syn[0] >> 4, 4)
        header = (syn[0] & 15) * 4
        self.assertEqual(struct.unpack_from("!HH", syn, header), (port, self.address[1]))
        self.assertEqual(syn[header + 13] & 0x12, 0x02)

    def test_how_a_connection_ended(self) -> None:
        """By its id a connection can be looked up: null while it is open, and how it ended afterwards."""
        for number, (behavior, ended, bytes_in, bytes_out) in enumerate(
            (
                ("echo", "client", 5, 5 + len(ACK)),
                ("reset_peer:bytes=2", "behavior reset_peer", 5, 2),
                ("timeout:after=0.1", "behavior timeout", 5, 0),
            )
        ):
            identifier = f"{number:032X}"
            separator = "," if ":" in behavior else ":"
            sock = self.choose(f"{behavior}{separator}id={identifier}")
            self.assertIsNone(self.report(f"report:ended={identifier}")["ended"])
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                read_all(sock)
            sock.close()
            while (report := self.report(f"report:ended={identifier}"))["ended"] is None:
                time.sleep(0.01)
            self.assertEqual(
                (report["ended"], report["bytes_in"], report["bytes_out"]), (ended, bytes_in, bytes_out), behavior
            )
