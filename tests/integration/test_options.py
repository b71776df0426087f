"""The command line: what the options do to real sockets, and how a daemon says that it cannot start."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from echotime.sockopt.catalogue.index import CATALOGUE
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_exactly
from tests.support.twistd_process import DaemonTestCase

_WITHOUT_LOW_PORTS = ("setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service")


class SockoptTests(DaemonTestCase):
    """--sockopt on live sockets, and what the log says of it."""

    def test_report(self) -> None:
        """The log has the requested and the effective value of each option, and why they differ."""
        daemon = self.echotime("--sockopt", "SO_RCVBUF=64K", "--sockopt", "tcp:SO_KEEPALIVE=on")
        daemon.address("UDP")
        for transport in ("TCP", "UDP"):
            daemon.line(rf"{transport} \S+: SO_RCVBUF requested 65536, effective 131072: the kernel doubles it")
        daemon.line(r"TCP \S+: SO_KEEPALIVE requested on, effective on$")
        self.assertNotIn("UDP 127.0.0.1: SO_KEEPALIVE", daemon.text())
        self.served(daemon)

    def test_help(self) -> None:
        """--sockopt help prints every name that can be set, and starts nothing; also where nobody reads to the end."""
        ended = self.twistd("echotime", "--tcp", "0", "--sockopt", "help").wait()
        self.assertEqual(ended.status, 0, ended.err)
        names = {line.split()[0] for line in ended.out.splitlines() if line.startswith("  ") and line[2] != " "}
        self.assertEqual(names, {row.name for row in CATALOGUE if row.settable})
        self.assertNotIn("listening", ended.out)

    def test_by_number(self) -> None:
        """LEVEL:NUMBER=VALUE sets an option that has no name here."""
        daemon = self.twistd("echotime", "--udp", "127.0.0.1:0", "--sockopt", "1:11=1")
        daemon.line("1:11 requested 1, effective 1$")

    def test_ttl_is_seen_by_the_client(self) -> None:
        """IP_TTL set on the listener is on the answers of TCP and UDP."""
        daemon = self.echotime("--sockopt", "IP_TTL=7")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
            sock.settimeout(10)
            sock.sendto(b"", daemon.address("UDP"))
            _, control, _, _ = sock.recvmsg(16, 64)
        self.assertEqual([int.from_bytes(data, "little") for _, _, data in control], [7])

    def test_every_settable_option_starts(self) -> None:
        """A daemon with every option of the catalogue set at once starts, reports each, and serves."""
        # with IPV6_V6ONLY on it would not serve IPv4
        options = [row for row in CATALOGUE if row.settable and (row.privilege is None or os.geteuid() == 0)]
        values = {row.name: row.example for row in options} | {"IPV6_V6ONLY": "off"}
        args = [part for name, value in values.items() for part in ("--sockopt", f"{name}={value}")]
        daemon = self.twistd("echotime", "--tcp", "[::]:0", "--udp", "[::]:0", *args)
        for host in ("127.0.0.1", "::1"):
            self.assertEqual(one_shot((host, daemon.address("TCP")[1]), b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time((host, daemon.address("UDP")[1]))), 4)
        for row in options:
            for transport in row.transports:
                daemon.line(rf"{transport.upper()} \S+: {row.name} requested ")
        self.served(daemon)

    def test_failing_option_is_fatal(self) -> None:
        """An option that the kernel refuses ends the daemon with status 1, naming it and the reason."""
        ended = self.refused("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--sockopt", "udp:SO_BINDTODEVICE=none0")
        self.assertEqual(ended.status, 1)
        self.assertEqual(ended.err.count("\n"), 1)
        self.assertIn("UDP 127.0.0.1:0: udp:SO_BINDTODEVICE=none0: No such device (ENODEV)", ended.err)

    def test_missing_privilege_is_named(self) -> None:
        """An option that needs a capability says which."""
        self.need("setpriv")
        capabilities = "-net_admin,-net_raw"
        prefix = ("setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities)
        ended = self.refused("--tcp", "127.0.0.1:0", "--sockopt", "SO_PRIORITY=7", prefix=prefix)
        self.assertEqual(ended.status, 1)
        self.assertIn("SO_PRIORITY=7: Operation not permitted (EPERM); needs CAP_NET_ADMIN", ended.err)


class FaultTests(DaemonTestCase):
    """Faults of the command line: all of them, before anything is opened, with status 2."""

    def assert_faults(self, args: list[str], *expected: str) -> None:
        """Status 2, nothing on standard output, one line a fault and one on how to get help."""
        ended = self.refused(*args)
        self.assertEqual(ended.status, 2)
        self.assertEqual(ended.out, "")
        lines = ended.err.splitlines()
        self.assertEqual(len(lines), len(expected) + 1, ended.err)
        for line, part in zip(lines, expected, strict=False):
            self.assertIn(part, line)

    def test_all_at_once(self) -> None:
        """Several faults are told together, each with what was expected."""
        self.assert_faults(
            ["--tcp", "70000", "--udp", "::1:3", "--epoch", "1970", "--backlog", "0", "--ack", r"\q", "--sockopt", "x"],
            "--backlog 0: '0' is not a valid number; expected a whole number from 1",
            r"--ack \q: '\q' at character 1 is no escape; expected \n, \r, \t, \\ or \xNN",
            "--epoch 1970: '1970' is not an epoch; expected unix or 1900",
            "--tcp 70000: '70000' is no port; expected a number from 0 to 65535",
            "--udp ::1:3: an IPv6 address needs brackets",
            "--sockopt x: expected [tcp:|udp:]NAME=VALUE",
        )

    def test_nearest_option(self) -> None:
        """A misspelt option is answered with the nearest."""
        self.assert_faults(["--tpc", "12345"], "unknown option --tpc; the nearest is --tcp")
        self.assert_faults(["--transport", "stock"], "unknown option --transport; there is one transport now")
        self.assert_faults(["--d", "1"], "option --d is ambiguous; expected one of --deny, --drain-timeout")

    def test_nearest_socket_option(self) -> None:
        """A misspelt socket option too."""
        self.assert_faults(["--sockopt", "SO_KEEPALVE=on"], "the nearest is SO_KEEPALIVE")

    def test_no_effect(self) -> None:
        """An option that cannot have an effect there is refused."""
        self.assert_faults(["--sockopt", "tcp:SO_BROADCAST=on"], "SO_BROADCAST has no effect on a TCP socket")
        self.assert_faults(["--sockopt", "udp:SO_KEEPALIVE=on"], "SO_KEEPALIVE has no effect on a UDP socket")
        self.assert_faults(["--tcp", "0", "--sockopt", "IP_PKTINFO=on"], "acts on IPv4 UDP sockets, and none is served")

    def test_read_only(self) -> None:
        """An option that can only be read is refused."""
        self.assert_faults(["--sockopt", "TCP_INFO=1"], "TCP_INFO is read-only")

    def test_host_name(self) -> None:
        """A name is no address."""
        self.assert_faults(
            ["--tcp", "localhost:1"], "'localhost' is not a numeric address; expected PORT, ADDRESS:PORT"
        )

    def test_argument(self) -> None:
        """Anything that is no option is a fault."""
        self.assert_faults(["12345"], "unexpected argument '12345'")

    def test_help(self) -> None:
        """--help and --version are no faults."""
        for option, part in (("--help", "--sockopt"), ("--version", "echotime ")):
            ended = self.twistd("echotime", option).wait()
            self.assertEqual(ended.status, 0)
            self.assertIn(part, ended.out)


class AddressTests(DaemonTestCase):
    """Where the daemon listens, and what it says where it cannot."""

    def test_several(self) -> None:
        """--tcp and --udp can be given several times, IPv4 and IPv6, with port 0."""
        args = ["--tcp", "127.0.0.1:0", "--tcp", "[::1]:0", "--udp", "127.0.0.1:0", "--udp", "[::1]:0"]
        daemon = self.twistd("echotime", *args)
        for number, host in enumerate(("127.0.0.1", "::1")):
            self.assertEqual(daemon.address("TCP", number)[0], host)
            self.assertEqual(one_shot(daemon.address("TCP", number), b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(daemon.address("UDP", number))), 4)
        self.served(daemon)

    def test_dual_stack(self) -> None:
        """[::] serves IPv4 too, and shows its clients as the IPv4 they are."""
        daemon = self.twistd("echotime", "--tcp", "[::]:0")
        port = daemon.address("TCP")[1]
        for host, shown in (("127.0.0.1", "127.0.0.1"), ("::1", r"\[::1\]")):
            self.assertEqual(one_shot((host, port), b"hi"), b"hi" + ACKNOWLEDGEMENT)
            daemon.line(rf"connection from {shown}:\d+$")

    def test_one_service_alone(self) -> None:
        """With --udp alone no TCP port is opened."""
        daemon = self.twistd("echotime", "--udp", "127.0.0.1:0")
        self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)
        self.assertNotIn("listening on TCP", self.served(daemon).out)

    def assert_cannot_listen(self, args: list[str], message: str, prefix: tuple[str, ...] = ()) -> None:
        """Status 1 and one line on standard error."""
        ended = self.refused(*args, prefix=prefix)
        self.assertEqual(ended.status, 1)
        self.assertEqual(ended.err.count("\n"), 1, ended.err)
        self.assertIn(message, ended.err)

    def test_port_in_use(self) -> None:
        """A port that another process holds."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            where = f"127.0.0.1:{other.getsockname()[1]}"
            self.assert_cannot_listen(
                ["--udp", "127.0.0.1:0", "--tcp", where],
                f"cannot listen on TCP {where}: Address already in use (EADDRINUSE)",
            )

    def test_foreign_address(self) -> None:
        """An address that this host does not have (TEST-NET-1 of RFC 5737)."""
        for option in ("--tcp", "--udp"):
            self.assert_cannot_listen([option, "192.0.2.1:0"], "192.0.2.1:0: Cannot assign requested address")

    def test_privileged_port(self) -> None:
        """A port below 1024 without the capability."""
        self.need("setpriv")
        lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
        if lowest <= 7:
            self.skipTest(f"on this system ports from {lowest} on need no privilege")
        self.assert_cannot_listen(
            ["--tcp", "127.0.0.1:7"], "127.0.0.1:7: Permission denied (EACCES)", prefix=_WITHOUT_LOW_PORTS
        )

    def test_daemon_mode(self) -> None:
        """Without -n the parent ends with status 1, and the reason is where twistd says it is: in the log file."""
        directory = self.mktemp()
        Path(directory).mkdir(parents=True)
        child = self.twistd_in_daemon_mode(directory, "--tcp", "192.0.2.1:0")
        self.assertEqual(child.status, 1)
        self.assertIn("cannot listen on TCP 192.0.2.1:0", child.err)
        log = (Path(directory) / "twistd.log").read_text(encoding="utf-8")
        self.assertIn("cannot listen on TCP 192.0.2.1:0: Cannot assign requested address", log)
        self.assertFalse((Path(directory) / "twistd.pid").exists())

    def test_backlog(self) -> None:
        """--backlog connections wait although nobody accepts them; more than somaxconn is told."""
        somaxconn = int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii"))
        daemon = self.echotime("--backlog", str(somaxconn + 1))
        daemon.line(f"backlog asked {somaxconn + 1}, effective {somaxconn}")
        with connect(daemon.address("TCP")) as sock:
            sock.sendall(b"hi")
            read_exactly(sock, 2 + len(ACKNOWLEDGEMENT))
