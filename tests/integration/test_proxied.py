"""Test --proxy-protocol and --quiet with the real daemon: clients behind a load balancer, and its health checks."""

from __future__ import annotations

import contextlib
import select
import signal
import socket

from echotime.wire.hostport import HostPort
from echotime.wire.proxy_header import make_local, make_v1, make_v2
from tests.support.control_case import ControlTestCase
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot, read_all, read_exactly

CLIENT = HostPort("192.0.2.7", 1945)
SERVER = HostPort("192.0.2.1", 12345)
PROXY, CHECKER = "127.0.0.5", "127.0.0.6"


def header(host: str = CLIENT.host, port: int = CLIENT.port) -> bytes:
    """Return the PROXY header of a client."""
    return make_v2(HostPort(host, port), HostPort("2001:db8::1", 12345) if ":" in host else SERVER)


class ProxiedTests(ControlTestCase):
    """Connect as a load balancer at 127.0.0.5 does."""

    def proxied(self, message: bytes) -> bytes:
        """Send a message from the proxy's address, half-close, and return the answer."""
        return one_shot(self.address, message, PROXY)

    def assert_reset(self, sock: socket.socket) -> None:
        """Check that the daemon resets the connection without an answer."""
        with self.assertRaises(ConnectionResetError):
            sock.recv(1)

    def test_client(self) -> None:
        """The client that the header names is in the log, in `control connections` and with its proxy."""
        daemon = self.start_daemon("--proxy-protocol", PROXY)
        with connect(self.address, PROXY) as sock:
            proxy = f"{PROXY}:{sock.getsockname()[1]}"
            for byte in make_v1(CLIENT, SERVER):
                sock.sendall(bytes([byte]))
            sock.sendall(b"hello")
            self.assertTrue(read_exactly(sock, 5 + len(ACKNOWLEDGEMENT)))
            daemon.line(rf"connection from 192\.0\.2\.7:1945 via {proxy}$")
            daemon.line(r"192\.0\.2\.7:1945: hello$")
            (row,) = self.rows("connections")
            self.assertEqual((row["peer"], row["via"]), ("192.0.2.7:1945", proxy))
        daemon.line(rf"connection from 192\.0\.2\.7:1945 via {proxy} ended by client, 5 bytes in, ")
        self.assertEqual(self.proxied(header("2001:db8::7") + b"x"), b"x" + ACKNOWLEDGEMENT)
        daemon.line(r"connection from \[2001:db8::7\]:1945 via ")
        self.assertEqual(one_shot(self.address, header()), header() + ACKNOWLEDGEMENT, "not from a proxy")
        self.served(daemon)

    def test_limits_and_access(self) -> None:
        """--deny and --max-per-source count the clients behind the proxy."""
        daemon = self.start_daemon("--proxy-protocol", f"{PROXY}/32", "--deny", "192.0.2.9", "--max-per-source", "1")
        self.assertEqual(self.proxied(header("192.0.2.9")), b"")
        with connect(self.address, PROXY) as first, connect(self.address, PROXY) as second:
            for number, sock in enumerate((first, second)):
                sock.sendall(header(f"192.0.2.{number}") + b"x")
                read_exactly(sock, 1 + len(ACKNOWLEDGEMENT))
            self.assertEqual(self.proxied(header("192.0.2.0")), b"")
        out = self.served(daemon).out
        self.assertIn("connections refused (access list): 1", out)
        self.assertIn("connections refused (source limit): 1", out)

    def test_faults(self) -> None:
        """A missing, late or malformed header ends in a reset, and is counted by its reason."""
        daemon = self.start_daemon("--proxy-protocol", PROXY)
        with connect(self.address, PROXY) as silent, connect(self.address, PROXY) as partial:
            partial.sendall(header()[:15])
            for wrong in (b"GET / HTTP/1.0\r\n", b"PROXY TCP4 300.0.0.1 1.1.1.1 1 1\r\n"):
                with connect(self.address, PROXY) as sock:
                    sock.sendall(wrong)
                    self.assert_reset(sock)
            self.assert_reset(silent)
            self.assert_reset(partial)
        connect(self.address, PROXY).close()  # a check of the port alone is no fault
        daemon.line(r"connections refused \(malformed PROXY header\): 1 new, 1 total, last from 127\.0\.0\.5")
        out = self.served(daemon).out
        self.assertIn("connections refused (no PROXY header): 3", out)
        self.assertNotIn("connection from", out)

    def test_quiet(self) -> None:
        """Health checks leave no line and no question: LOCAL ones of the proxy, and those of --quiet, TCP and UDP."""
        daemon = self.start_daemon(
            *("--proxy-protocol", PROXY, "--quiet", CHECKER, "--reply", "ok", "--wait-for-operator"),
            *("--log-also", "datagrams", "--log-also", "empty"),
        )
        self.assertEqual(self.proxied(make_local() + b"check"), b"check" + ACKNOWLEDGEMENT + b"ok")
        self.assertEqual(one_shot(self.address, b"check", CHECKER), b"check" + ACKNOWLEDGEMENT + b"ok")
        connect(self.address, CHECKER).close()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind((CHECKER, 0))
            sock.sendto(b"?", daemon.address("UDP"))
            self.assertTrue(select.select([sock], [], [], 60)[0])
            self.assertEqual(len(sock.recv(9)), 4)
        self.assertEqual(self.rows("questions"), [])
        self.wait_for(lambda: self.counter("quiet_connections") == 3)
        self.assertEqual((self.counter("quiet_datagrams"), self.counter("connections")), (1, 0))
        out = self.served(daemon).out
        self.assertNotIn("connection from", out)
        self.assertNotIn("datagram from", out)
        self.assertNotIn("left out", out)

    def counter(self, name: str) -> int:
        """Return a counter of the daemon."""
        return int(self.rows("counters")[name])

    def test_questions(self) -> None:
        """Limits of questions count the clients, too."""
        daemon = self.start_daemon(
            *("--proxy-protocol", PROXY, "--wait-for-operator", "--max-questions-per-source", "1")
        )
        with connect(self.address, PROXY) as first, connect(self.address, PROXY) as second:
            for number, sock in enumerate((first, second)):
                sock.sendall(header(f"192.0.2.{number}") + b"x")
                read_exactly(sock, 1 + len(ACKNOWLEDGEMENT))
            self.assertEqual(self.proxied(header("192.0.2.0") + b"y"), b"y" + ACKNOWLEDGEMENT)
            peers = [each["peer"] for each in self.rows("questions")]
            self.assertEqual(peers, ["192.0.2.0:1945", "192.0.2.1:1945"])
            self.control("answer", "all", "ok")
            self.assertEqual(read_exactly(second, 2), b"ok")
        self.served(daemon)

    def test_reload(self) -> None:
        """A reload changes the networks for new connections."""
        config = self.directory / "echotime.conf"
        config.write_text("[echotime]\n", encoding="utf-8")
        daemon = self.start_daemon("--config", str(config))
        self.assertEqual(self.proxied(header()), header() + ACKNOWLEDGEMENT)
        config.write_text(f"[echotime]\nproxy-protocol = {PROXY}\nquiet = {CHECKER}\n", encoding="utf-8")
        daemon.signal(signal.SIGHUP)
        daemon.line("reload: .*proxy-protocol, quiet")
        self.assertEqual(self.proxied(header() + b"x"), b"x" + ACKNOWLEDGEMENT)
        self.served(daemon)

    def test_stop(self) -> None:
        """A stop ends a connection that has sent no header, at the latest with the drain timeout."""
        daemon = self.start_daemon("--proxy-protocol", PROXY, "--drain-timeout", "0")
        with connect(self.address, PROXY) as sock:
            self.assertEqual(self.proxied(header() + b"x"), b"x" + ACKNOWLEDGEMENT)  # the other one is accepted
            self.served(daemon)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(read_all(sock), b"")

    def test_stop_delay(self) -> None:
        """During the stop delay health checks are refused, so that load balancers notice, and clients are served."""
        daemon = self.start_daemon("--proxy-protocol", PROXY, "--quiet", CHECKER, "--stop-delay", "1h")
        daemon.signal()
        daemon.line("received SIGTERM: stopping in 3600 s")
        self.assertEqual(self.proxied(header() + b"x"), b"x" + ACKNOWLEDGEMENT)
        self.assertEqual(self.proxied(make_local() + b"x"), b"")
        with connect(self.address, CHECKER) as sock, contextlib.suppress(ConnectionResetError):
            self.assertEqual(read_all(sock), b"")
        self.served(daemon)

    def test_stopped_process(self) -> None:
        """A header that arrived while the process was stopped is read before its time counts as over."""
        self.python = "import echotime.services.proxied\nechotime.services.proxied.HEADER_TIMEOUT = 0.2"
        daemon = self.start_daemon("--proxy-protocol", PROXY)
        with connect(self.address, PROXY) as sock, connect(self.address) as direct:
            direct.sendall(b"x")
            read_exactly(direct, 1 + len(ACKNOWLEDGEMENT))  # the other one is accepted, too
            daemon.signal(signal.SIGSTOP)
            try:
                sock.sendall(header() + b"hello")
                self.assertFalse(select.select([sock], [], [], 0.5)[0], "the daemon answers while it is stopped")
            finally:
                daemon.signal(signal.SIGCONT)
            self.assertEqual(read_exactly(sock, 5 + len(ACKNOWLEDGEMENT)), b"hello" + ACKNOWLEDGEMENT)
        self.served(daemon)

    def test_refused_options(self) -> None:
        """A name is no network for these options."""
        ended = self.refused("--tcp", "127.0.0.1:0", "--quiet", "localhost")
        self.assertIn("--quiet localhost", ended.err)
