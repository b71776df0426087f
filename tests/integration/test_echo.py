"""Test the TCP echo service with plain sockets."""

from __future__ import annotations

import select
import socket
import time

from tests.support.plain_clients import (
    ACKNOWLEDGEMENT,
    RESET,
    connect,
    duplex,
    one_shot,
    read_all,
    read_exactly,
    sent_by_duplex,
    split_answers,
)
from tests.support.twistd_process import LIMIT, DaemonTestCase


class EchoTests(DaemonTestCase):
    """Check the wire protocol of the whole daemon."""

    def test_original_dialogue(self) -> None:
        """The dialogue of the original scripts: the client sends hello, the server's reply is ok."""
        daemon = self.echotime("--reply", "ok", shared=True)
        self.assertEqual(one_shot(daemon.address("TCP"), b"hello"), b"hello\nI get it!\nok")

    def test_no_word(self) -> None:
        """Without --reply the acknowledgement ends the answer."""
        daemon = self.echotime(shared=True)
        self.assertEqual(one_shot(daemon.address("TCP"), b"hello"), b"hello\nI get it!\n")

    def test_acknowledgement(self) -> None:
        r"""--ack and --reply understand \n, \t and \xNN, and --ack may be empty."""
        daemon = self.echotime("--ack", r"\tack\x00", "--reply", r"w\\\n")
        self.assertEqual(one_shot(daemon.address("TCP"), b"m"), b"m\tack\0w\\\n")
        bare = self.echotime("--ack", "")
        self.assertEqual(one_shot(bare.address("TCP"), b"m"), b"m")

    def test_message_by_message(self) -> None:
        """Each message is answered while the connection stays open."""
        daemon = self.echotime("--reply", "ok", shared=True)
        with connect(daemon.address("TCP")) as sock:
            for message in (b"a", b"\x00\xff", b"x" * 4096):
                sock.sendall(message)
                expected = message + ACKNOWLEDGEMENT + b"ok"
                self.assertEqual(read_exactly(sock, len(expected)), expected)

    def test_nothing_sent(self) -> None:
        """A client that only half-closes gets an end of file and nothing else."""
        daemon = self.echotime("--reply", "ok", shared=True)
        self.assertEqual(one_shot(daemon.address("TCP"), b""), b"")

    def test_long_message_is_split(self) -> None:
        """Data longer than 4096 bytes is answered as several messages, none of them longer."""
        daemon = self.echotime("--reply", "ok", shared=True)
        sent = b"0123456789" * 2000
        messages = split_answers(one_shot(daemon.address("TCP"), sent), ACKNOWLEDGEMENT + b"ok")
        self.assertEqual(b"".join(messages), sent)
        self.assertLessEqual(max(map(len, messages)), 4096)

    def test_half_close_loses_nothing(self) -> None:
        """500 sessions that send and half-close at once get every byte."""
        daemon = self.echotime("--reply", "ok", shared=True)
        address = daemon.address("TCP")
        for number in range(500):
            message = b"%010d" % number
            self.assertEqual(one_shot(address, message), message + ACKNOWLEDGEMENT + b"ok")

    def test_fifty_megabytes_both_ways(self) -> None:
        """50 MB sent and read at once on one connection, half-closed at the end, lose no byte."""
        daemon = self.echotime(shared=True)
        total = 50_000_000
        messages = split_answers(duplex(daemon.address("TCP"), total), ACKNOWLEDGEMENT)
        self.assertLessEqual(max(map(len, messages)), 4096)
        # not assertEqual: it would print 50 MB
        self.assertTrue(b"".join(messages) == sent_by_duplex(total), "the echo differs from what was sent")

    def test_late_word(self) -> None:
        """A reply two seconds after the client's end of file arrives, and delays no other client."""
        child = self.late_replies(shared=True)
        address = child.address("TCP")
        with connect(address) as slow:
            slow.sendall(b"slow")
            slow.shutdown(socket.SHUT_WR)
            self.assertEqual(read_exactly(slow, 15), b"slow" + ACKNOWLEDGEMENT)
            self.assertEqual(one_shot(address, b"fast"), b"fast" + ACKNOWLEDGEMENT + b"now")
            self.assertEqual(select.select([slow], [], [], 0)[0], [], "the reply came too early")
            self.assertEqual(read_all(slow), b"late")

    def test_not_read_while_word_is_awaited(self) -> None:
        """Data sent while a reply is awaited is the next message, in one piece."""
        child = self.late_replies(shared=True)
        with connect(child.address("TCP")) as sock:
            sock.sendall(b"slow")
            self.assertEqual(read_exactly(sock, 15), b"slow" + ACKNOWLEDGEMENT)
            for part in (b"one ", b"two ", b"three"):
                sock.sendall(part)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(sock), b"late" + b"one two three" + ACKNOWLEDGEMENT + b"now")

    def test_failing_source_resets(self) -> None:
        """A client whose reply will never come is reset, not sent an end of file."""
        child = self.late_replies()
        address = child.address("TCP")
        for message in (b"fail", b"raise", b"none", b"text"):
            with connect(address) as sock:
                sock.sendall(message)
                sock.shutdown(socket.SHUT_WR)
                with self.assertRaises(ConnectionResetError):
                    read_all(sock)
        self.assertEqual(one_shot(address, b"fast"), b"fast" + ACKNOWLEDGEMENT + b"now")

    def test_client_that_never_reads(self) -> None:
        """A client that writes and never reads is not read from: memory stays constant."""
        daemon = self.echotime()
        address = daemon.address("TCP")
        one_shot(address, b"warm up")
        before = daemon.resident()
        with connect(address) as sock:
            sock.setblocking(False)
            accepted = 0
            while select.select([], [sock], [], 0.5)[1] and accepted < 100_000_000:
                accepted += sock.send(bytes(65536))
            self.assertLess(accepted, 50_000_000)
            self.assertLess(daemon.resident() - before, 1_000_000)
            self.assertEqual(one_shot(address, b"other"), b"other" + ACKNOWLEDGEMENT)
        self.served(daemon)

    def test_reset_is_an_ordinary_end(self) -> None:
        """A client's reset costs its own log lines and nothing else."""
        daemon = self.echotime()
        address = daemon.address("TCP")
        sock = connect(address)
        sock.sendall(b"bye")
        read_exactly(sock, 3 + len(ACKNOWLEDGEMENT))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
        daemon.line("ended by client's reset, 3 bytes in, 14 bytes out")
        self.assertEqual(one_shot(address, b"next"), b"next" + ACKNOWLEDGEMENT)
        self.served(daemon)

    def test_half_close_while_a_word_is_awaited(self) -> None:
        """A half-close while a reply is awaited does not count as the client's end."""
        child = self.late_replies(shared=True)
        with connect(child.address("TCP")) as sock:
            sock.sendall(b"slow")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(sock), b"slow" + ACKNOWLEDGEMENT + b"late")

    def test_linger_does_not_block(self) -> None:
        """With SO_LINGER the close of a client that does not read delays no other client."""
        daemon = self.echotime("--sockopt", "SO_LINGER=600")
        address = daemon.address("TCP")
        with socket.socket() as sock:
            sock.settimeout(LIMIT)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(address)
            sock.sendall(bytes(80_000))
            sock.shutdown(socket.SHUT_WR)
            began = time.monotonic()
            for _ in range(100):
                one_shot(address, b"other")
            self.assertLess(time.monotonic() - began, LIMIT)
            received = read_all(sock)
        self.assertEqual(sum(map(len, split_answers(received, ACKNOWLEDGEMENT))), 80_000)
        self.served(daemon)

    def test_many_clients(self) -> None:
        """200 connections at once are all served."""
        daemon = self.echotime(shared=True)
        address = daemon.address("TCP")
        clients = [connect(address) for _ in range(200)]
        for sock in clients:
            self.addCleanup(sock.close)
            sock.sendall(b"here")
        for sock in clients:
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(sock), b"here" + ACKNOWLEDGEMENT)

    def test_urgent_byte(self) -> None:
        """SO_OOBINLINE decides if the urgent byte is part of the stream, and so of the echo."""
        for value, expected in (("off", b"abcdef"), ("on", b"abcXdef")):
            address = self.echotime("--sockopt", f"SO_OOBINLINE={value}", "--ack", "").address("TCP")
            with connect(address) as sock:
                sock.sendall(b"abc")
                self.assertEqual(read_exactly(sock, 3), b"abc")
                sock.send(b"X", socket.MSG_OOB)
                sock.sendall(b"def")
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(b"abc" + read_all(sock), expected)

    def test_connection_times_out_nowhere(self) -> None:
        """A slow client that sends a byte at a time gets an answer to each."""
        daemon = self.echotime("--ack", "!")
        with connect(daemon.address("TCP")) as sock:
            sock.settimeout(LIMIT)
            for byte in b"slowly":
                sock.sendall(bytes([byte]))
                self.assertEqual(read_exactly(sock, 2), bytes([byte]) + b"!")


class HangUpTests(DaemonTestCase):
    """Check what echotime's reactor does and others do not: watch a connection that is not read."""

    def test_reset_while_a_word_is_awaited(self) -> None:
        """The reset of a client whose reply is awaited is noticed at once."""
        child = self.late_replies()
        with connect(child.address("TCP")) as sock:
            sock.sendall(b"never")
            read_exactly(sock, 5 + len(ACKNOWLEDGEMENT))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        child.line("reply to never cancelled")
        child.line("ended by client's reset, 5 bytes in")


class EPollEchoTests(EchoTests):
    """The same on Twisted's epoll reactor."""

    reactor = ("-r", "epoll")


class AsyncioEchoTests(EchoTests):
    """The same on the asyncio reactor."""

    reactor = ("-r", "asyncio")
