"""Test the listeners of --behave as an operator sees them: start, `control behave`, the log, and the stop."""

from __future__ import annotations

import signal
import socket
import tempfile
import time
from pathlib import Path

from echotime.behave.kinds import TCP_KINDS
from tests.support.behave_case import ACK, behaving_address
from tests.support.control_case import ControlTestCase
from tests.support.plain_clients import ask_time, connect, one_shot, read_all, read_exactly
from tests.support.twistd_process import LIMIT, DaemonTestCase


class ControlBehaveTests(ControlTestCase):
    """Change listeners while the daemon runs."""

    def address_of(self, row: dict[str, str]) -> tuple[str, int]:
        """Return the address of a row of the list."""
        host, port = row["address"].rsplit(":", 1)
        return host, int(port)

    def test_open_change_and_close(self) -> None:
        """A listener is opened on a free port, changed for new connections, listed, and closed."""
        daemon = self.start_daemon()
        self.assertEqual(self.rows("behave"), [])
        ended = self.control("behave")
        self.assertEqual((ended.stdout, ended.returncode), (b"", 0))
        self.assertIn(b"no listener misbehaves", ended.stderr)
        (row,) = self.rows("behave", "0=corrupt")
        self.assertEqual((row["transport"], row["behavior"]), ("tcp", "corrupt"))
        address = self.address_of(row)
        with connect(address) as early:
            early.sendall(b"m")
            self.assertEqual(read_exactly(early, 1), bytes([ord("m") ^ 0xFF]))
            changed = self.rows("behave", f"{address[1]}=duplicate-ack")
            self.assertEqual(changed, [{**row, "behavior": "duplicate_ack"}])
            self.assertEqual(self.rows("behave"), changed)
            self.assertEqual(one_shot(address, b"m"), b"m" + 2 * ACK)
            early.sendall(b"n")
            self.assertEqual(read_exactly(early, 2 * len(b"m" + ACK) - 1), ACK + b"n" + ACK)
            self.assertIn(f"TCP 127.0.0.1:{address[1]}", self.rows("status")["listening"])
            self.assertEqual([each["bytes_in"] for each in self.rows("connections")], [2])
            ended = self.control("behave", f"{address[1]}=off")
            self.assertEqual((ended.stdout, ended.stderr, ended.returncode), (b"", b"closed\n", 0))
            with self.assertRaises(ConnectionRefusedError):
                connect(address)
            daemon.line(rf"stopped listening on TCP 127.0.0.1:{address[1]}$")
            early.sendall(b"o")
            self.assertEqual(read_exactly(early, len(b"o" + ACK)), b"o" + ACK)
        self.assertEqual(self.rows("behave"), [])

    def test_two_transports_on_one_port(self) -> None:
        """A listener of each transport can have the same port. A change is for one, and off is for both."""
        self.start_daemon()
        (row,) = self.rows("behave", "0=no_accept")
        port = self.address_of(row)[1]
        self.rows("behave", f"{port}=drop:probability=0")
        self.assertEqual(len(ask_time(("127.0.0.1", port))), 4)
        # what waited in the accept queue is served when the behavior changes
        with connect(("127.0.0.1", port)) as waiting:
            waiting.sendall(b"m")
            self.rows("behave", f"{port}=echo")
            self.assertEqual(read_exactly(waiting, 1 + len(ACK)), b"m" + ACK)
        listed = {row["transport"]: row["behavior"] for row in self.rows("behave")}
        self.assertEqual(listed, {"tcp": "echo", "udp": "drop:probability=0"})
        self.rows("behave", f"{port}=off")
        self.assertEqual(self.rows("behave"), [])

    def test_faults(self) -> None:
        """A fault is reported with its reason, and changes nothing. The daemon goes on, and logs no failure."""
        daemon = self.start_daemon("--behave", "0=echo")
        host, port = behaving_address(daemon)
        before = self.rows("behave")
        ordinary = self.address[1]
        for text, reason in (
            (f"{port}=off", ""),
            (f"{port}=off", f"no listener of --behave on {host}:{port}"),
            (f"{ordinary}=off", f"no listener of --behave on 127.0.0.1:{ordinary}"),
            (f"{ordinary}=echo", f"cannot listen on TCP 127.0.0.1:{ordinary}: Address already in use"),
            ("192.0.2.1:1=echo", "this host does not have the address"),
        ):
            if not reason:
                self.assertEqual(self.rows("behave"), before)
                self.control("behave", text)
                continue
            ended = self.control("behave", text)
            self.assertEqual((ended.returncode, ended.stdout), (1, b""), text)
            self.assertIn(reason, ended.stderr.decode())
        for text, reason in (
            (f"{port}=latncy", "'latncy' is not a behavior; the nearest is latency"),
            ("7001", "'7001' names no behavior; expected ADDRESS=KIND"),
            ("off", "'off' names no behavior; expected ADDRESS=KIND"),
        ):
            ended = self.control("behave", text)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(reason, ended.stderr.decode())
        self.assertNotIn("critical", self.served(daemon).out)

    def test_own_port(self) -> None:
        """A port that the daemon itself serves is reported with its address, for TCP, UDP and HTTP."""
        daemon = self.start_daemon("--http", "0", "--http-public-metrics")
        http = daemon.line("listening on HTTP 127.0.0.1:(.*)")[1]
        tcp, udp = (daemon.address(transport)[1] for transport in ("TCP", "UDP"))
        for host in ("127.0.0.1", "0.0.0.0", "[::]"):
            for transport, port, kind in (("TCP", tcp, "echo"), ("UDP", udp, "drop"), ("TCP", http, "echo")):
                ended = self.control("behave", f"{host}:{port}={kind}")
                self.assertEqual(ended.returncode, 1)
                self.assertIn(
                    f"(EADDRINUSE): this daemon itself serves {transport} 127.0.0.1:{port}\n", ended.stderr.decode()
                )
        with socket.create_server(("127.0.0.2", tcp)):
            self.assertIn(b"another socket holds the port", self.control("behave", f"127.0.0.2:{tcp}=echo").stderr)
        self.served(daemon)

    def test_repeated_address(self) -> None:
        """A listener cannot be named twice in one command, but one of each transport can have the same port."""
        daemon = self.start_daemon("--behave", "0=echo")
        before = self.rows("behave")
        port = behaving_address(daemon)[1]
        for second in ("latency", "off", "drop"):
            first = "off" if second == "drop" else "corrupt"
            ended = self.control("behave", f"{port}={first}", f"{port}={second}")
            self.assertEqual((ended.returncode, ended.stdout), (2, b""))
            self.assertIn(f"{port}={second}: this address is given twice", ended.stderr.decode())
        self.assertEqual(self.rows("behave"), before)
        self.assertEqual(len(self.rows("behave", f"{port}=corrupt", f"{port}=drop", "0=echo", "0=echo")), 4)

    def test_number_of_listeners(self) -> None:
        """There are at most 100 listeners, and those before stay."""
        self.start_daemon()
        self.assertEqual(len(self.rows("behave", *["0=echo"] * 100)), 100)
        ended = self.control("behave", "0=echo")
        self.assertEqual((ended.returncode, ended.stderr.count(b"more than 100 listeners")), (1, 1))
        self.assertEqual(len(self.rows("behave")), 100)


class StartTests(DaemonTestCase):
    """Open listeners at the start, and stop with anything pending."""

    def test_warning(self) -> None:
        """Each such listener is a warning in the log, and the ordinary listeners are not changed."""
        daemon = self.echotime("--behave", "0=latency:delay=200ms", "--behave", "127.0.0.1:0=drop")
        daemon.line(r"#warn\] listening on TCP 127.0.0.1:\d+, which misbehaves: latency:delay=200ms$")
        daemon.line(r"#warn\] listening on UDP 127.0.0.1:\d+, which misbehaves: drop$")
        self.assertEqual(one_shot(daemon.address("TCP"), b"m"), b"m" + ACK)
        self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)

    def test_drop(self) -> None:
        """A dropped datagram is counted as handled, and gets no answer."""
        daemon = self.echotime("--behave", "0=drop")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(behaving_address(daemon, "UDP"))
            sock.send(b"m")
            sock.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                sock.recv(9)
        self.assertIn("datagrams: 1", self.served(daemon).out)

    def test_faults(self) -> None:
        """Faulty values are usage errors, all reported together. A port that is taken ends the start."""
        ended = self.refused("--behave", "7001=latncy", "--behave", "7001", "--behave", "1=drop:probability=2")
        self.assertEqual((ended.status, ended.err.count("echotime: --behave ")), (2, 3))
        ended = self.refused(*(f"--behave={text}" for text in ("7001=echo", "7001=drop", "7001=corrupt", "7002=echo")))
        self.assertEqual((ended.status, ended.err.count("echotime: --behave ")), (2, 1))
        self.assertIn("--behave 7001=corrupt: this address is given twice", ended.err)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ended = self.refused("--tcp", "127.0.0.1:0", "--behave", f"{port}=echo")
        self.assertEqual(ended.status, 1)
        self.assertIn(f"cannot listen on TCP 127.0.0.1:{port}: Address already in use", ended.err)

    def test_reload(self) -> None:
        """A reload that changes the option says that this requires a restart."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "echotime.conf")
            path.write_text("[echotime]\ntcp = 127.0.0.1:0\nbehave = 0=echo\n", encoding="utf-8")
            daemon = self.twistd("echotime", "--config", str(path))
            behaving_address(daemon, behavior="echo")
            path.write_text("[echotime]\ntcp = 127.0.0.1:0\nbehave = 0=corrupt\n", encoding="utf-8")
            daemon.signal(signal.SIGHUP)
            daemon.line("reload.*behave requires a restart")

    def test_stop_with_everything_pending(self) -> None:
        """SIGTERM ends the daemon within the drain timeout, whatever the behaviors hold back, and without a failure."""
        daemon = self.echotime("--behave", "0=client", "--drain-timeout", "1")
        address = behaving_address(daemon)
        slow = {"latency": ":delay=1h", "late_reply": ":delay=1h", "trickle": ":gap=1h", "slicer": ":gap=1h"}
        clients = []
        for kind in TCP_KINDS:
            sock = connect(address)
            self.addCleanup(sock.close)
            sock.sendall(f"{kind}{slow.get(kind, '')}\n".encode() + b"hello" * 500)
            clients.append(sock)
        for number in range(5):  # not a byte, and half a line
            sock = connect(address)
            self.addCleanup(sock.close)
            sock.sendall(b"echo"[:number])
        # a served connection follows all of them in the accept queue
        with connect(address) as last:
            last.sendall(b"echo\n")
            last.shutdown(socket.SHUT_WR)
            read_all(last)
        began = time.monotonic()
        ended = self.served(daemon)
        self.assertLess(time.monotonic() - began, LIMIT / 2)
        self.assertNotRegex(ended.out + ended.err, "Traceback|critical|Unhandled")

    def test_log_is_bounded(self) -> None:
        """Faulty lines write nothing of their own to the log."""
        daemon = self.echotime("--behave", "0=client")
        address = behaving_address(daemon)
        for _ in range(300):
            with connect(address) as sock:
                sock.sendall(b"\x1b]0;title\x07\n")
                self.assertTrue(read_all(sock).startswith(b"error: "))
        lines = self.served(daemon).out.splitlines()
        self.assertLess(len(lines), 30)
        self.assertNotIn("title", "".join(lines))

    def test_syn_on_an_ordinary_listener(self) -> None:
        r"""With TCP_SAVE_SYN the place ``\{syn}`` is the client's SYN for each message, and empty without it."""
        for sockopts, pattern in (((), r"m<>n<>"), (("--sockopt", "TCP_SAVE_SYN=on"), r"m<(45[0-9a-f]+)>n<\1>")):
            daemon = self.echotime("--ack", r"<\{syn}>", *sockopts)
            with connect(daemon.address("TCP")) as sock:
                answer = b""
                for message in (b"m", b"n"):
                    sock.sendall(message)
                    answer += read_exactly(sock, 1)
                    while not answer.endswith(b">"):
                        answer += read_exactly(sock, 1)
            self.assertRegex(answer.decode(), rf"\A{pattern}\Z")
            self.served(daemon)
