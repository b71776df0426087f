"""Test sockets that a service manager passes; tests/systemd has a real service manager."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

from echotime.sockopt.tcp_info import read_tcp_info
from tests.support.http_case import ask
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, one_shot
from tests.support.tool_case import ToolTestCase
from tests.support.twistd_process import LIMIT, VERBOSE, Twistd

ACTIVATED = str(Path(__file__).parents[1] / "support" / "socket_activation.py")
_FIRST = 3
_STAGING = 50
"""The first of the descriptors that hold the sockets while they are moved."""
Address = tuple[str, int]


class ActivationTests(ToolTestCase):
    """Start a daemon with sockets as its descriptors from 3 on."""

    def bound(self, kind: socket.SocketKind, host: str = "127.0.0.1", family: int | None = None) -> socket.socket:
        """Open a blocking socket as systemd's are, listening if it can."""
        sock = socket.socket(family or (socket.AF_INET6 if ":" in host else socket.AF_INET), kind)
        self.addCleanup(sock.close)
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if family is None:
            sock.bind((host, 0))
        if kind == socket.SOCK_STREAM and family is None:
            sock.listen(7)
        return sock

    def tcp(self, host: str = "127.0.0.1") -> socket.socket:
        """Open a listening TCP socket."""
        return self.bound(socket.SOCK_STREAM, host)

    def udp(self, host: str = "127.0.0.1") -> socket.socket:
        """Open a bound UDP socket."""
        return self.bound(socket.SOCK_DGRAM, host)

    def prefix(self, sockets: list[socket.socket], names: str) -> tuple[str, ...]:
        """Return a command prefix that moves each socket to its expected descriptor."""
        for each in sockets:
            each.set_inheritable(True)
        # move them out of the way first: a source may be the target of another
        apart = " ".join(f"{_STAGING + index}<&{each.fileno()}" for index, each in enumerate(sockets))
        moved = " ".join(f"{_FIRST + index}<&{_STAGING + index}" for index in range(len(sockets)))
        there = range(_FIRST, _FIRST + len(sockets))
        left = {*range(_STAGING, _STAGING + len(sockets)), *(each.fileno() for each in sockets)} - {*there}
        closed = " ".join(f"{number}<&-" for number in left)
        script = f'exec {apart}; exec {moved}; exec {closed}; exec "$@"'
        return ("bash", "-c", script, "bash", sys.executable, ACTIVATED, str(len(sockets)), names)

    def activated(self, sockets: list[socket.socket], *args: str, names: str = "", python: str = "") -> Twistd:
        """Start a daemon with these sockets; `python` is run in its process first."""
        return self.twistd(
            *("echotime", *args),
            prefix=(*VERBOSE, *self.prefix(sockets, names)),
            inherited=tuple(each.fileno() for each in sockets),
            python=python,
        )

    def fails(self, sockets: list[socket.socket], *args: str, names: str = "") -> str:
        """Start a daemon that must fail with status 1, and return its only error line."""
        ended = self.activated(sockets, *args, names=names).wait()
        self.assertEqual(ended.status, 1)
        self.assertNotIn("Traceback", ended.out + ended.err)
        (line,) = ended.err.splitlines()
        return line

    def assert_serves(self, tcp: Address, udp: Address) -> None:
        """Check that both services answer."""
        self.assertEqual(one_shot(tcp, b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.assertEqual(len(ask_time(udp)), 4)

    def test_by_default(self) -> None:
        """With neither --tcp nor --udp all passed sockets are served, and nothing else."""
        tcp, udp = self.tcp(), self.udp()
        daemon = self.activated([tcp, udp], names="echotime.socket:echotime.socket")
        self.assertEqual(daemon.address("TCP"), tcp.getsockname())
        self.assertEqual(daemon.address("UDP"), udp.getsockname())
        self.assert_serves(tcp.getsockname(), udp.getsockname())
        daemon.line(r"TCP .*: passed in as descriptor 3 \(echotime.socket\)")
        self.assertEqual(self.served(daemon).out.count("listening on"), 2)

    def test_http(self) -> None:
        """HTTP is served on inherited Unix and TCP sockets of its name. The Unix socket's file is left alone."""
        tcp, other = self.tcp(), self.tcp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = Path(directory.name, "http")
        unix = socket.socket(socket.AF_UNIX)
        self.addCleanup(unix.close)
        unix.bind(str(path))
        unix.listen(100)
        path.chmod(0o660)
        daemon = self.activated([tcp, unix, other], "--http", "systemd:http", names="echotime:http:http")
        self.assertEqual(daemon.address("TCP"), tcp.getsockname())
        self.assertEqual(daemon.address("HTTP"), other.getsockname())
        daemon.line(f"listening on HTTP socket {path}")
        self.assertEqual(ask(path), (200, "ok\n"))
        self.assertEqual(ask(other.getsockname())[0], 401)
        self.served(daemon)
        self.assertEqual(path.stat().st_mode & 0o777, 0o660)
        # the sockets stay open for the service manager
        for sock in (unix, other):
            self.assertTrue(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            with socket.socket(sock.family) as client:
                client.connect(sock.getsockname())

    def test_http_faults(self) -> None:
        """A socket for HTTP that was not passed, is a datagram socket, or is open to other hosts ends the start."""
        tcp = ("--tcp", "127.0.0.1:0", "--http", "systemd:http")
        self.assertIn(
            "--http systemd:http: no unclaimed socket named 'http'", self.fails([self.tcp()], *tcp, names="x")
        )
        self.assertIn("expected a TCP socket, found a UDP one", self.fails([self.udp()], *tcp, names="http"))
        remote = self.fails([self.tcp("0.0.0.0")], *tcp, names="http")
        self.assertRegex(remote, r"other hosts can reach 0\.0\.0\.0:\d+; this requires --http-allow-remote")

    def test_one_kind_by_default(self) -> None:
        """A socket of one kind alone may be passed, and then only that service runs."""
        udp = self.udp()
        daemon = self.activated([udp])
        self.assertEqual(daemon.address("UDP"), udp.getsockname())
        self.assertEqual(len(ask_time(udp.getsockname())), 4)
        self.assertNotIn("listening on TCP", self.served(daemon).out)

    def test_twisted_was_first(self) -> None:
        """The sockets are found also if Twisted, without a plugin cache, removes the environment variables first."""
        tcp, udp = self.tcp(), self.udp()
        python = "import os, twisted.internet.endpoints; assert 'LISTEN_FDS' not in os.environ"
        daemon = self.activated([tcp, udp], names="a:b", python=python)
        self.assertEqual(daemon.address("TCP"), tcp.getsockname())
        self.assert_serves(tcp.getsockname(), udp.getsockname())
        self.served(daemon)

    def test_reload(self) -> None:
        """A reload does to a passed-in socket what a start does: its accept queue is never made shorter."""
        tcp = self.tcp()
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:

            def write(text: str) -> None:
                file.truncate(0)
                file.seek(0)
                file.write(f"[echotime]\n{text}")
                file.flush()

            write("backlog = 100\nsockopt = SO_KEEPALIVE=on\n")
            daemon = self.activated([tcp], "--config", file.name)
            daemon.line("reload: enabled")
            self.assertEqual(read_tcp_info(tcp).accept_queue_limit, 100)
            not_shorter = "because a passed-in accept queue is not made shorter"
            for backlog, effective, changed in ((5, 100, "nothing"), (200, 200, "backlog"), (100, 200, "nothing")):
                write(f"backlog = {backlog}\nsockopt = tcp:IP_FREEBIND=on\n")
                daemon.lines.clear()
                daemon.signal(signal.SIGHUP)
                daemon.line("reload: removing sockopt SO_KEEPALIVE=on from TCP .* requires a restart of the .socket")
                self.assertIn(f"reload: changed: {changed}", daemon.text())
                self.assertIn("too late: it must be set before bind", daemon.text())
                self.assertEqual(read_tcp_info(tcp).accept_queue_limit, effective)
                told = f"backlog: requested {backlog}, effective {effective}, {not_shorter}" in daemon.text()
                self.assertEqual(told, backlog < effective)
        self.served(daemon)

    def test_by_name(self) -> None:
        """Each service serves the sockets of the names it was given, beside an address of its own."""
        sockets = [self.udp(), self.tcp(), self.tcp("::1"), self.udp("::1")]
        daemon = self.activated(
            sockets,
            *("--tcp", "systemd:echo", "--tcp", "127.0.0.1:0", "--udp", "systemd:time", "--udp", "systemd:six"),
            names="time:echo:echo:six",
        )
        found = {daemon.address("TCP", number) for number in range(3)}
        self.assertLessEqual({sock.getsockname()[:2] for sock in sockets[1:3]}, found)
        for tcp in found:
            for udp in (sockets[0], sockets[3]):
                self.assert_serves(tcp, udp.getsockname()[:2])
        self.assertNotIn("no option requests it", self.served(daemon).out)

    def test_one_name_for_both(self) -> None:
        """If TCP and UDP sockets share a name, as those of one .socket unit do, each service serves its kind."""
        tcp, udp = self.tcp(), self.udp()
        daemon = self.activated([udp, tcp], "--tcp", "systemd:x", "--udp", "systemd:x", names="x:x")
        self.assertEqual(daemon.address("TCP"), tcp.getsockname())
        self.assert_serves(tcp.getsockname(), udp.getsockname())

    def test_by_kind(self) -> None:
        """--tcp systemd without a name serves the sockets that no name selects."""
        sockets = [self.tcp(), self.tcp(), self.tcp()]
        daemon = self.activated(sockets, "--tcp", "systemd", "--tcp", "systemd:b", names="a:b:c")
        found = [daemon.address("TCP", number) for number in range(3)]
        self.assertEqual(found, [sockets[index].getsockname() for index in (1, 0, 2)])
        self.served(daemon)

    def test_nobody_asks(self) -> None:
        """A passed socket that no listener uses is reported and closed."""
        tcp, udp = self.tcp(), self.udp()
        other = self.bound(socket.SOCK_STREAM, family=socket.AF_UNIX)
        daemon = self.activated([tcp, udp, other], "--tcp", "systemd", names="a:b:c")
        daemon.line(r"descriptor 4 \(b\) was passed, but no option requests it")
        daemon.line(r"descriptor 5 \(c\) was passed, but no option requests it")
        daemon.address("TCP")
        held = [str(each.readlink()) for each in Path(f"/proc/{daemon.process.pid}/fd").iterdir()]
        for sock, kept in ((tcp, 1), (udp, 0), (other, 0)):
            self.assertEqual(held.count(f"socket:[{os.fstat(sock.fileno()).st_ino}]"), kept)

    def test_both_versions(self) -> None:
        """A socket on [::] serves IPv4, too, and answers leave from the requested address."""
        tcp, udp = self.tcp("::"), self.udp("::")
        daemon = self.activated([tcp, udp])
        daemon.address("UDP")
        for host in ("::1", "127.0.0.1", "127.0.0.5"):
            self.assert_serves((host, tcp.getsockname()[1]), (host, udp.getsockname()[1]))

    def test_options(self) -> None:
        """Options that can still be set are set, late ones are reported, and the backlog is raised."""
        tcp, udp = self.tcp(), self.udp()
        options = ("SO_KEEPALIVE=on", "IP_FREEBIND=on", "udp:IP_TTL=9", "IPV6_UNICAST_HOPS=9")
        daemon = self.activated([tcp, udp], *(argument for each in options for argument in ("--sockopt", each)))
        daemon.line("TCP .*: SO_KEEPALIVE requested on, effective on$")
        daemon.line("TCP .*: IP_FREEBIND requested on, effective off: too late: it must be set before bind")
        daemon.line("UDP .*: IP_TTL requested 9, effective 9$")
        self.assertEqual(udp.getsockopt(socket.IPPROTO_IP, socket.IP_TTL), 9)
        limit = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        self.assertEqual(int.from_bytes(limit[28:32], sys.byteorder), 1024)
        self.served(daemon)

    def test_not_passed(self) -> None:
        """A requested socket that was not passed is an error that lists the passed ones."""
        self.assertEqual(
            self.fails([self.tcp()], "--udp", "systemd", names="a"),
            "echotime: --udp systemd: no unclaimed UDP socket; passed: descriptor 3 (a)",
        )
        self.assertEqual(
            self.fails([self.tcp()], "--tcp", "systemd:b", names="a"),
            "echotime: --tcp systemd:b: no unclaimed socket named 'b'; passed: descriptor 3 (a)",
        )
        self.assertIn("no socket was passed", self.refused("--tcp", "systemd").err)
        self.assertEqual(self.refused("--tcp", "systemd").status, 1)

    def test_wrong_descriptors(self) -> None:
        """A descriptor of the wrong kind is an error."""
        self.assertEqual(
            self.fails([self.udp()], "--tcp", "systemd:a", names="a"),
            "echotime: --tcp systemd:a: descriptor 3: expected a TCP socket, found a UDP one",
        )
        connection = socket.create_connection(self.tcp().getsockname())
        self.addCleanup(connection.close)
        self.assertEqual(
            self.fails([connection], names="a"),
            "echotime: --tcp systemd: descriptor 3: expected a TCP socket, found one that does not listen",
        )
        unix = self.bound(socket.SOCK_STREAM, family=socket.AF_UNIX)
        self.assertIn("no unclaimed TCP socket; passed: ", self.fails([unix], names="a"))
        self.assertIn("found one of another family (AF_UNIX)", self.fails([unix], "--tcp", "systemd:a", names="a"))

    def test_of_another_process(self) -> None:
        """Environment variables meant for a parent process are ignored, and the error or the log says so."""
        prefix = ("env", "LISTEN_PID=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=a", "SYSTEMD_EXEC_PID=1")
        refused = self.refused("--tcp", "systemd", prefix=prefix).err
        self.assertRegex(refused, r"no socket was passed; LISTEN_PID=1 is another process than this one \(\d+\); ")
        daemon = self.twistd("echotime", "--tcp", "127.0.0.1:0", prefix=prefix)
        daemon.line("echotime#warn. no inherited socket is used: LISTEN_PID=1 is another process ")
        self.assertEqual(one_shot(daemon.address("TCP"), b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.served(daemon)

    def test_faulty_environment(self) -> None:
        """Faulty variables for this process are an error, and no port is opened."""
        rows = {
            "LISTEN_FDS=abc": "LISTEN_FDS=abc: expected a number from 1 to 2147483644",
            "LISTEN_FDS=100": r"LISTEN_FDS=100: descriptor \d+ was not passed",
            "LISTEN_PID=": "LISTEN_PID is not set: expected a number from 1 to 2147483647",
            "WATCHDOG_USEC=" + "9" * 400: "WATCHDOG_USEC=9{40}: expected a number from 1 to 18446744073709551615",
        }
        for assignment, reason in rows.items():
            tcp = self.tcp()
            faulty = ("env", assignment, "NOTIFY_SOCKET=@echotime-none")
            ended = self.twistd("echotime", prefix=(*self.prefix([tcp], ""), *faulty), inherited=(tcp.fileno(),)).wait()
            self.assertEqual((ended.status, ended.out), (1, ""))
            self.assertRegex(ended.err, f"^echotime: environment: {reason}\n$")

    def test_unserved_protocols(self) -> None:
        """A connected UDP socket and a UDP-Lite socket serve no client, and are an error."""
        connected = self.udp()
        connected.connect(("127.0.0.1", 9))
        self.assertEqual(
            self.fails([connected]),
            "echotime: --udp systemd: descriptor 3: expected a UDP socket, found one that is connected to 127.0.0.1:9",
        )

    def test_in_a_network_of_its_own(self) -> None:
        """The daemon answers its own probes also in another network namespace than its sockets."""
        self.need("unshare")
        if os.geteuid() != 0:
            self.skipTest("needs root to make a network")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        control = f"{folder.name}/control"
        tcp, udp = self.tcp("::"), self.udp("::")
        daemon = self.twistd(
            *("echotime", "--control", control),
            prefix=("unshare", "--net", *self.prefix([tcp, udp], "")),
            inherited=(tcp.fileno(), udp.fileno()),
        )
        daemon.line("listening on control socket ")

        def status() -> str:
            return self.tool("control", "--socket", control, "status").stdout.decode()

        self.assertEqual(status().count(", probe answered in "), 2)
        for host in ("127.0.0.1", "::1"):
            self.assert_serves((host, tcp.getsockname()[1]), (host, udp.getsockname()[1]))
            self.assertEqual(status().count(", probe answered in "), 2)
        self.assertNotIn("health check", self.served(daemon).out)

    def test_restart_loses_nothing(self) -> None:
        """Connections and datagrams that come while no daemon runs are answered by the next one."""
        tcp, udp = self.tcp(), self.udp()
        first = self.activated([tcp, udp])
        first.address("UDP")
        self.served(first)
        with socket.create_connection(tcp.getsockname(), timeout=LIMIT) as sock, self.udp() as asker:
            sock.sendall(b"hi")
            asker.settimeout(LIMIT)
            asker.sendto(b"", udp.getsockname())
            second = self.activated([tcp, udp])
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            while part := sock.recv(100):
                answer += part
            self.assertEqual(answer, b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(asker.recv(100)), 4)
        self.served(second)

    def test_two_serve_the_same_sockets(self) -> None:
        """Two daemons serve the same sockets, see each other, and either may stop without a loss."""
        tcp, udp = self.tcp(), self.udp()
        for sock in (tcp, udp):
            sock.setblocking(False)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        controls = [f"{folder.name}/{name}" for name in ("first", "second")]
        daemons = [self.activated([tcp, udp], "--control", each) for each in controls]
        for daemon in daemons:
            daemon.line("listening on control socket ")
        for each in controls:
            status = self.tool("control", "--socket", each, "status").stdout.decode()
            self.assertRegex(status, "listening on TCP .*, probe answered in ")
            self.assertRegex(status, "listening on UDP .*, not probed: other processes serve the same socket\n")
        for _ in range(20):
            self.assert_serves(tcp.getsockname(), udp.getsockname())
        self.served(daemons[0])
        self.assert_serves(tcp.getsockname(), udp.getsockname())
        status = self.tool("control", "--socket", controls[1], "status").stdout.decode()
        self.assertEqual(status.count(", probe answered in "), 2, "it is alone now")
        self.served(daemons[1])
