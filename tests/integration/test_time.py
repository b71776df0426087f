"""Test the UDP time service with plain sockets."""

from __future__ import annotations

import signal
import socket
import struct
import time

from tests.hostile.forging import forge
from tests.support.plain_clients import ask_time
from tests.support.twistd_process import LIMIT, VERBOSE, DaemonTestCase, Twistd


class TimeTests(DaemonTestCase):
    """Send datagrams, which are answered with four bytes."""

    io_method = "recvmmsg and sendmmsg, 64 datagrams a call"

    def test_log_says_how_it_serves(self) -> None:
        """The detailed log names the system calls."""
        daemon = self.echotime(prefix=VERBOSE)
        daemon.line(rf"UDP 127\.0\.0\.1:\d+: served by {self.io_method}")
        self.served(daemon)

    def assert_now(self, answer: bytes) -> None:
        """Check that an answer is the current Unix time: four bytes, big-endian, unsigned."""
        self.assertEqual(len(answer), 4)
        self.assertLessEqual(abs(struct.unpack("!I", answer)[0] - time.time()), 2)

    def test_any_datagram(self) -> None:
        """Empty, 1-byte, 8192-byte and 60,000-byte datagrams are all answered with the time."""
        daemon = self.echotime(shared=True)
        for size in (0, 1, 8192, 60_000):
            self.assert_now(ask_time(daemon.address("UDP"), bytes(size)))

    def test_hundred_at_once(self) -> None:
        """A hundred pending datagrams are answered one by one."""
        address = self.echotime(shared=True).address("UDP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            sock.connect(address)
            for _ in range(100):
                sock.send(b"")
            for _ in range(100):
                self.assert_now(sock.recv(100))

    def test_answer_leaves_from_the_address_that_was_asked(self) -> None:
        """On a wildcard address, IPv4 alone or dual-stack, the answer leaves from the requested address."""
        daemon = self.twistd("echotime", "--udp", "0", "--udp", "[::]:0")
        for number in (0, 1):
            port = daemon.address("UDP", number)[1]
            for host in ("127.0.0.2", "127.0.0.1"):
                self.assert_now(ask_time((host, port)))
        self.assert_now(ask_time(("::1", daemon.address("UDP", 1)[1])))
        self.served(daemon)

    def test_wildcard_by_any_name(self) -> None:
        """The answer leaves from the requested address also if the wildcard is written in full."""
        daemon = self.twistd("echotime", "--udp", "[0:0::0]:0", "--sockopt", "IP_TTL=9")
        self.assert_now(ask_time(("127.0.0.2", daemon.address("UDP")[1])))

    def test_second_daemon_is_refused(self) -> None:
        """A second daemon cannot bind the port, nor can a socket with SO_REUSEADDR."""
        host, port = self.echotime(shared=True).address("UDP")
        ended = self.refused("--udp", f"{host}:{port}")
        self.assertEqual(ended.status, 1)
        self.assertIn(f"cannot listen on UDP {host}:{port}: Address already in use (EADDRINUSE)", ended.err)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with self.assertRaises(OSError):
                thief.bind((host, port))

    def test_port_of_another_socket(self) -> None:
        """A port that another socket bound with SO_REUSEADDR is not shared: the daemon does not start."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", 0))
            for host in ("127.0.0.1", "0.0.0.0", "[::]"):
                where = f"{host}:{other.getsockname()[1]}"
                ended = self.refused("--udp", where)
                self.assertEqual(ended.status, 1)
                self.assertEqual(ended.err.count("\n"), 1, ended.err)
                self.assertIn(f"cannot listen on UDP {where}: Address already in use (EADDRINUSE)", ended.err)

    def test_restart_at_once(self) -> None:
        """Without SO_REUSEADDR the next daemon can bind the port at once, although clients still send."""
        daemon = self.echotime()
        address = daemon.address("UDP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(LIMIT)
            client.sendto(b"x", address)
            self.assert_now(client.recv(100))
            daemon.signal(signal.SIGSTOP)
            client.sendto(b"unread", address)
            daemon.signal(signal.SIGKILL)
            self.assertEqual(daemon.wait().status, -signal.SIGKILL)
            for _ in range(3):
                daemon = self.twistd("echotime", "--udp", f"{address[0]}:{address[1]}")
                self.assertEqual(daemon.address("UDP"), address)
                client.sendto(b"x", address)
                self.assert_now(client.recv(100))
                self.served(daemon)

    def test_reuseaddr_stays_where_it_was_asked_for(self) -> None:
        """udp:SO_REUSEADDR=on is left on, with a warning, and then a second socket can bind."""
        daemon = self.twistd("echotime", "--udp", "127.0.0.1:0", "--sockopt", "udp:SO_REUSEADDR=on")
        address = daemon.address("UDP")
        daemon.line("SO_REUSEADDR requested on, effective on")
        daemon.line("any process of any user")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            second.bind(address)

    def ask_and_go(self, daemon: Twistd, times: int) -> None:
        """Send from sockets that are closed before the answer arrives, so that it causes an ICMP error."""
        for _ in range(times):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"", daemon.address("UDP"))

    def test_icmp_errors_do_not_stop_it(self) -> None:
        """With IP_RECVERR answers to a closed port are counted, and the next client is served."""
        daemon = self.echotime("--sockopt", "IP_RECVERR=on")
        for _ in range(20):
            self.ask_and_go(daemon, 10)
            self.assert_now(ask_time(daemon.address("UDP")))
        self.assertIn("ICMP", self.served(daemon).out)

    def test_source_port_zero(self) -> None:
        """Datagrams from port 0, which cannot be answered, cause no traceback and no outage."""
        daemon = self.echotime()
        address = daemon.address("UDP")
        try:
            for _ in range(100):
                forge(("127.0.0.1", 0), address)
        except PermissionError as error:
            self.skipTest(f"a raw socket is needed to send from port 0: {error}")
        self.assert_now(ask_time(address))
        daemon.signal()
        daemon.line("dropped by the kernel: 100")
        self.assertNotIn("Traceback", daemon.text())


class SingleDatagramTimeTests(TimeTests):
    """Test the time service without recvmmsg(2), one datagram at a time."""

    python = "from echotime.net import mmsg; mmsg.is_available = lambda: False"
    io_method = "recvmsg and sendmsg, one datagram a call"


class EPollTimeTests(TimeTests):
    """The same on Twisted's epoll reactor."""

    reactor = ("-r", "epoll")
