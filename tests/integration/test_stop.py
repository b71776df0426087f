"""Test SIGTERM and SIGINT: which replies connections still get, and how long that may take."""

from __future__ import annotations

import signal
import socket
import time

from tests.support.plain_clients import (
    ACKNOWLEDGEMENT,
    ask_time,
    connect,
    fill,
    one_shot,
    read_all,
    read_exactly,
    split_answers,
)
from tests.support.twistd_process import LIMIT, DaemonTestCase


class StopTests(DaemonTestCase):
    """Stop daemons by a signal, with connections open."""

    def greeted(self, address: tuple[str, int]) -> socket.socket:
        """Connect and read the first reply."""
        sock = connect(address)
        self.addCleanup(sock.close)
        sock.sendall(b"hi")
        self.assertEqual(read_exactly(sock, 2 + len(ACKNOWLEDGEMENT)), b"hi" + ACKNOWLEDGEMENT)
        return sock

    def test_idle(self) -> None:
        """A daemon without pending output ends at once, closing its connections with an end of file."""
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.echotime("--drain-timeout", "3600")
            sock = self.greeted(daemon.address("TCP"))
            began = time.monotonic()
            daemon.signal(number)
            self.assertEqual(read_all(sock), b"")
            ended = daemon.wait()
            self.assertEqual(ended.status, -number)
            self.assertIn("ended by server, 2 bytes in", ended.out)
            self.assertLess(time.monotonic() - began, LIMIT)

    def test_port_is_closed_first(self) -> None:
        """A stopping daemon accepts no connection while it drains the open ones."""
        daemon = self.echotime("--drain-timeout", "3600")
        address = daemon.address("TCP")
        sock = self.stuck(address)
        daemon.signal()
        daemon.line("stopping: open connections: 1")
        with self.assertRaises(ConnectionRefusedError):
            connect(address)
        sock.shutdown(socket.SHUT_WR)
        self.assertTrue(read_all(sock).endswith(ACKNOWLEDGEMENT))
        self.assertEqual(daemon.wait().status, -signal.SIGTERM)

    def stuck(self, address: tuple[str, int]) -> socket.socket:
        """Connect, and send without reading until the socket accepts no more."""
        sock = connect(address)
        self.addCleanup(sock.close)
        self.sent = fill(sock)
        return sock

    def test_owed_bytes_arrive(self) -> None:
        """A client with megabytes pending gets every reply after SIGTERM, also to data still in the kernel."""
        daemon = self.echotime("--drain-timeout", "3600")
        sock = self.stuck(daemon.address("TCP"))
        daemon.signal()
        daemon.line("stopping: open connections: 1")
        sock.shutdown(socket.SHUT_WR)
        messages = split_answers(read_all(sock), ACKNOWLEDGEMENT)
        self.assertEqual(sum(map(len, messages)), self.sent)
        self.assertEqual(daemon.wait().status, -signal.SIGTERM)

    def test_slow_readers_lose_nothing(self) -> None:
        """Clients that begin to read only after SIGTERM get every byte, also with small buffers."""
        daemon = self.echotime("--drain-timeout", "3600", "--sockopt", "SO_SNDBUF=8K")
        address = daemon.address("TCP")
        clients = []
        for _ in range(40):
            sock = self.stuck(address)
            sock.shutdown(socket.SHUT_WR)
            clients.append((sock, self.sent))
        daemon.signal()
        daemon.line("stopping: open connections: 40")
        for sock, sent in clients:
            messages = split_answers(read_all(sock), ACKNOWLEDGEMENT)
            self.assertEqual(sum(map(len, messages)), sent)
        out = daemon.wait().out
        self.assertEqual(out.count("ended by client,"), 40, "each ended before the daemon")

    def test_deadline(self) -> None:
        """A client that does not read its replies is reset after --drain-timeout."""
        daemon = self.echotime("--drain-timeout", "0.5")
        sock = self.stuck(daemon.address("TCP"))
        ended = daemon.stop()
        self.assertIn("ended by server's reset", ended.out)
        with self.assertRaises(ConnectionResetError):
            read_all(sock)

    def test_awaited_word(self) -> None:
        """A client whose reply does not come in time is reset."""
        child = self.late_replies()
        with connect(child.address("TCP")) as sock:
            sock.sendall(b"never")
            read_exactly(sock, 5 + len(ACKNOWLEDGEMENT))
            ended = child.stop()
            with self.assertRaises(ConnectionResetError):
                read_all(sock)
        self.assertNotIn("Traceback", ended.out)

    def test_word_during_drain(self) -> None:
        """Data sent while a reply was awaited is answered, although the daemon stops meanwhile."""
        child = self.late_replies()
        clients = [connect(child.address("TCP")) for _ in range(50)]
        for sock in clients:
            self.addCleanup(sock.close)
            sock.sendall(b"slow")
        for sock in clients:
            self.assertEqual(read_exactly(sock, 4 + len(ACKNOWLEDGEMENT)), b"slow" + ACKNOWLEDGEMENT)
            sock.sendall(b"next")
        child.signal()
        for sock in clients:
            self.assertEqual(read_all(sock), b"late" + b"next" + ACKNOWLEDGEMENT + b"now")

    def test_second_signal(self) -> None:
        """A second signal ends the drain at once."""
        for first, second in ((signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGINT)):
            daemon = self.echotime("--drain-timeout", "3600")
            self.stuck(daemon.address("TCP"))
            daemon.signal(first)
            daemon.line("stopping: open connections: 1")
            daemon.signal(second)
            ended = daemon.wait()
            self.assertEqual(ended.status, -first)
            self.assertNotIn("Traceback", ended.out + ended.err)
            self.assertIn("ended by server's reset", ended.out)

    def test_signals_back_to_back(self) -> None:
        """A second signal counts however close it follows the first."""
        for _ in range(5):
            daemon = self.echotime("--drain-timeout", "3600")
            self.stuck(daemon.address("TCP"))
            daemon.signal(signal.SIGTERM)
            daemon.signal(signal.SIGINT)
            ended = daemon.wait()
            self.assertNotIn("Traceback", ended.out + ended.err)
            self.assertIn("ended by server's reset", ended.out)

    def test_stop_delay(self) -> None:
        """During the stop delay clients are served as before; a second signal ends the delay, a third one the drain."""
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
            daemon = self.echotime("--stop-delay", "1h", "--drain-timeout", "3600")
            address = daemon.address("TCP")
            daemon.signal(first)
            daemon.line(f"received {first.name}: stopping in 3600 s, ports open until then, another signal stops at")
            self.assertEqual(one_shot(address, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)
            self.stuck(address)
            daemon.signal(second)
            daemon.line(f"received {second.name}: stopping$")
            daemon.line("stopping: open connections: 1")
            self.assertRaises(ConnectionRefusedError, connect, address)
            daemon.signal()
            ended = daemon.wait()
            self.assertEqual(ended.status, -second)
            self.assertNotIn("Traceback", ended.out + ended.err)
            self.assertIn("ended by server's reset", ended.out)

    def test_stop_delay_ends(self) -> None:
        """After the delay the daemon stops by itself, as by the signal."""
        daemon = self.echotime("--stop-delay", "500ms")
        sock = self.greeted(daemon.address("TCP"))
        daemon.signal()
        daemon.line("received SIGTERM: stopping in 0.5 s, ")
        daemon.line("stop delay ended: stopping")
        self.assertEqual(read_all(sock), b"")
        ended = daemon.wait()
        self.assertEqual(ended.status, -signal.SIGTERM)
        self.assertNotIn("Traceback", ended.out + ended.err)

    def test_rebind_at_once(self) -> None:
        """The next daemon can bind the port (SO_REUSEADDR) although old connections are in TIME_WAIT."""
        daemon = self.echotime()
        address = daemon.address("TCP")
        self.greeted(address)
        self.served(daemon)
        again = self.twistd("echotime", "--tcp", f"{address[0]}:{address[1]}")
        self.assertEqual(one_shot(again.address("TCP"), b"hi"), b"hi" + ACKNOWLEDGEMENT)


class EPollStopTests(StopTests):
    """The same on Twisted's epoll reactor."""

    reactor = ("-r", "epoll")
