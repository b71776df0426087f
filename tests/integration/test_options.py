"""Test the command line: the effect of options on real sockets, and reports of a failed start."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from echotime.sockopt.catalogue.index import CATALOGUE
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_exactly
from tests.support.twistd_process import LIMIT, TWISTD, DaemonTestCase

_WITHOUT_LOW_PORTS = ("setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service")


class SockoptTests(DaemonTestCase):
    """Set --sockopt on live sockets, and check the log."""

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
        """--sockopt help prints every settable name and starts nothing."""
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
        """A client sees the IP_TTL that was set on the listener."""
        daemon = self.echotime("--sockopt", "IP_TTL=7")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
            sock.settimeout(LIMIT)
            sock.sendto(b"", daemon.address("UDP"))
            _, control, _, _ = sock.recvmsg(16, 64)
        self.assertEqual([int.from_bytes(data, "little") for _, _, data in control], [7])

    def test_every_settable_option_starts(self) -> None:
        """A daemon with every option of the catalogue set at once starts, reports each, and serves."""
        # with IPV6_V6ONLY the socket would not serve IPv4
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
        """An option that the kernel refuses ends the daemon with status 1, its name and the reason."""
        ended = self.refused("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--sockopt", "udp:SO_BINDTODEVICE=none0")
        self.assertEqual(ended.status, 1)
        self.assertEqual(ended.err.count("\n"), 1)
        self.assertIn("UDP 127.0.0.1:0: udp:SO_BINDTODEVICE=none0: No such device (ENODEV)", ended.err)

    def test_missing_privilege_is_named(self) -> None:
        """A missing capability is named in the error."""
        self.need("setpriv")
        capabilities = "-net_admin,-net_raw"
        prefix = ("setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities)
        ended = self.refused("--tcp", "127.0.0.1:0", "--sockopt", "SO_PRIORITY=7", prefix=prefix)
        self.assertEqual(ended.status, 1)
        self.assertIn("SO_PRIORITY=7: Operation not permitted (EPERM); needs CAP_NET_ADMIN", ended.err)


class FaultTests(DaemonTestCase):
    """Report all faults of the command line before anything is opened, with status 2."""

    def assert_faults(self, args: list[str], *expected: str) -> None:
        """Check status 2, an empty standard output, and one line per fault and one about help."""
        ended = self.refused(*args)
        self.assertEqual(ended.status, 2)
        self.assertEqual(ended.out, "")
        lines = ended.err.splitlines()
        self.assertEqual(len(lines), len(expected) + 1, ended.err)
        for line, part in zip(lines, expected, strict=False):
            self.assertIn(part, line)

    def test_all_at_once(self) -> None:
        """Several faults are reported together, each with what is accepted."""
        self.assert_faults(
            ["--tcp", "70000", "--udp", "::1:3", "--epoch", "1970", "--backlog", "0", "--ack", r"\q", "--sockopt", "x"],
            "--backlog 0: must be at least 1",
            r"--ack \q: unknown escape '\q' at character 1; expected \n, \r, \t, \\ or \xNN",
            "--epoch 1970: '1970' is not an epoch; expected unix or 1900",
            "--tcp 70000: invalid port '70000'; expected a number from 0 to 65535",
            "--udp ::1:3: an IPv6 address needs brackets",
            "--sockopt x: expected [tcp:|udp:]NAME=VALUE",
        )

    def test_unknown_value(self) -> None:
        """An unknown name in a reply is reported with those that there are."""
        self.assert_faults(
            ["--ack", r"\{peer}\{Peer}", "--reply", r"you are \{peer", "--backlog", "0"],
            "--backlog 0: must be at least 1",
            r"--ack \{peer}\{Peer}: unknown escape '\{Peer}' at character 8; expected \{NAME}, with NAME one of ",
            r"--reply you are \{peer: unknown escape '\{peer' at character 9; expected \{NAME}, with NAME one of ",
        )

    def test_nearest_option(self) -> None:
        """A misspelled option is reported with the nearest one."""
        self.assert_faults(["--tpc", "12345"], "unknown option --tpc; the nearest is --tcp")
        self.assert_faults(["--transport", "stock"], "unknown option --transport; there is one transport now")
        self.assert_faults(["--d", "1"], "option --d is ambiguous; expected one of --deny, --drain-timeout")

    def test_nearest_socket_option(self) -> None:
        """A misspelled socket option is reported with the nearest one."""
        self.assert_faults(["--sockopt", "SO_KEEPALVE=on"], "the nearest is SO_KEEPALIVE")

    def test_no_effect(self) -> None:
        """An option that cannot have an effect on a socket is refused."""
        self.assert_faults(["--sockopt", "tcp:SO_BROADCAST=on"], "SO_BROADCAST has no effect on a TCP socket")
        self.assert_faults(["--sockopt", "udp:SO_KEEPALIVE=on"], "SO_KEEPALIVE has no effect on a UDP socket")

    def test_read_only(self) -> None:
        """An option that can only be read is refused."""
        self.assert_faults(["--sockopt", "TCP_INFO=1"], "TCP_INFO is read-only")

    def test_host_name(self) -> None:
        """A host name is refused as an address."""
        self.assert_faults(
            ["--tcp", "localhost:1"],
            "'localhost' is a name, and names are not looked up; expected PORT, *:PORT, ADDRESS:PORT",
        )

    def test_wrong_addresses(self) -> None:
        """Each wrong form of an address has a message of its own."""
        for text, message in (
            ("tcp://127.0.0.1:1", "'tcp://127.0.0.1:1' has a scheme, tcp://; expected 127.0.0.1:1"),
            ("127.0.0.1:1,[::1]:1", "this is a list; expected one address, and the option again for each other"),
            ("127.0.0.1:1:2", "'127.0.0.1:1:2' has more than one colon; expected ADDRESS:PORT or [IPv6]:PORT"),
            ("fe80::1", "an IPv6 address needs brackets, as in [fe80::1]:12345"),
            ("127.0.0.1", "the port is missing, as in 127.0.0.1:12345"),
            ("[::1]", "the port is missing, as in [::1]:12345"),
            ("udp://", "'udp://' has a scheme, udp://; expected ADDRESS:PORT"),
            ("127.0.0.1:http", "'http' is no port number, and service names are not looked up; expected a number"),
            ("127.0.0.1:024111", "port '024111' has a leading zero; expected a number from 0 to 65535"),
        ):
            self.assert_faults(["--tcp", text], f"--tcp {text}: {message}")

    def test_argument(self) -> None:
        """An argument that is not an option is a fault."""
        self.assert_faults(["12345"], "unexpected argument '12345'")

    def test_help(self) -> None:
        """--help and --version exit with status 0."""
        for option, part in (("--help", "--sockopt"), ("--version", "echotime ")):
            ended = self.twistd("echotime", option).wait()
            self.assertEqual(ended.status, 0)
            self.assertIn(part, ended.out)

    def test_help_to_nobody(self) -> None:
        """A pipe whose reader has exited, such as head(1), is no failure; a full device is one, told in one line."""
        reader, closed = os.pipe()
        os.close(reader)
        full = os.open("/dev/full", os.O_WRONLY)
        for option in ("--help", "--version"):
            for output, status, said in (
                (closed, 0, b""),
                (full, 1, b"echotime: standard output: No space left on device\n"),
            ):
                ended = subprocess.run(
                    [*TWISTD, "echotime", option], stdout=output, stderr=subprocess.PIPE, timeout=LIMIT, check=False
                )
                self.assertEqual((ended.returncode, ended.stderr), (status, said), option)
        os.close(closed)
        os.close(full)


class AddressTests(DaemonTestCase):
    """Listen on various addresses, and fail where that is not possible."""

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
        """[::] serves IPv4, too, and logs those clients by their IPv4 addresses."""
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
        """Check status 1 and one line on standard error."""
        ended = self.refused(*args, prefix=prefix)
        self.assertEqual(ended.status, 1)
        self.assertEqual(ended.err.count("\n"), 1, ended.err)
        self.assertIn(message, ended.err)

    def test_port_in_use(self) -> None:
        """A port in use is reported with its errno."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            where = f"127.0.0.1:{other.getsockname()[1]}"
            self.assert_cannot_listen(
                ["--udp", "127.0.0.1:0", "--tcp", where],
                f"cannot listen on TCP {where}: Address already in use (EADDRINUSE)",
            )

    def test_foreign_address(self) -> None:
        """An address that this host does not have (TEST-NET-1 of RFC 5737) is reported."""
        for option in ("--tcp", "--udp"):
            self.assert_cannot_listen([option, "192.0.2.1:0"], "192.0.2.1:0: Cannot assign requested address")

    def test_privileged_port(self) -> None:
        """A port below 1024 without the capability is reported."""
        self.need("setpriv")
        lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
        if lowest <= 7:
            self.skipTest(f"on this system ports from {lowest} on need no privilege")
        self.assert_cannot_listen(
            ["--tcp", "127.0.0.1:7"], "127.0.0.1:7: Permission denied (EACCES)", prefix=_WITHOUT_LOW_PORTS
        )

    def test_daemon_mode(self) -> None:
        """Without -n the parent ends with status 1, and the reason is also in the log file."""
        directory = self.mktemp()
        Path(directory).mkdir(parents=True)
        child = self.twistd_in_daemon_mode(directory, "--tcp", "192.0.2.1:0")
        self.assertEqual(child.status, 1)
        self.assertIn("cannot listen on TCP 192.0.2.1:0", child.err)
        log = (Path(directory) / "twistd.log").read_text(encoding="utf-8")
        self.assertIn("cannot listen on TCP 192.0.2.1:0: Cannot assign requested address", log)
        self.assertFalse((Path(directory) / "twistd.pid").exists())

    def test_backlog(self) -> None:
        """A backlog above somaxconn is logged with its effective value."""
        somaxconn = int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii"))
        daemon = self.echotime("--backlog", str(somaxconn + 1))
        daemon.line(f"backlog: requested {somaxconn + 1}, effective {somaxconn}")
        with connect(daemon.address("TCP")) as sock:
            sock.sendall(b"hi")
            read_exactly(sock, 2 + len(ACKNOWLEDGEMENT))
