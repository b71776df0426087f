"""Test daemon/ and tap.py: options, services, and a failing start."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from echotime import tap
from echotime.config.options import DaemonOptions
from echotime.config.parsers import host_and_port
from echotime.config.settings import Settings
from echotime.counters import ServiceCounters
from echotime.daemon.ports.listener_service import (
    ListenerService,
    TCPListenerService,
    UDPListenerService,
    listen_error_message,
)
from echotime.daemon.service import Daemon
from echotime.errors import StartupError
from echotime.health.readiness import Readiness
from echotime.net.mmsg import Batch
from echotime.net.tcp import EchoPort
from echotime.net.udp import IBatchResponder, TimePort
from echotime.services.drain import Drain
from echotime.services.echo_factory import EchoFactory
from echotime.services.traffic import TrafficLog
from echotime.services.udp_time import TimeProtocol
from echotime.sockopt.assignment import parse
from echotime.wire import parsers
from echotime.wire.hostport import HostPort
from echotime.wire.message import ACKNOWLEDGEMENT
from echotime.wire.timestamp import Epoch


def settings(*args: str) -> Settings:
    """Return the settings of a command line."""
    options = DaemonOptions()
    options.parseOptions(list(args))
    return options.settings


class OptionsTests(SynchronousTestCase):
    """Parse the options of the daemon."""

    def test_defaults(self) -> None:
        """By default both services are on port 12345 of every IPv4 address, as in the original scripts."""
        everywhere = (HostPort("0.0.0.0", 12345),)
        self.assertEqual(settings(), Settings(tcp=everywhere, udp=everywhere))
        self.assertEqual(settings().acknowledgement, ACKNOWLEDGEMENT)

    def test_one_service(self) -> None:
        """With --tcp or --udp alone the other service is off."""
        self.assertEqual(settings("--udp", "7").tcp, ())
        self.assertEqual(settings("--tcp", "7").udp, ())

    def test_everything(self) -> None:
        """Every option ends up in the settings."""
        self.assertEqual(
            settings(
                *("--tcp", "[::1]:1", "--tcp", "2", "--udp", "127.0.0.1:3", "--backlog", "5", "--ack", r"\x00"),
                *("--reply", "ok", "--epoch", "1900", "--log-message-rate", "0", "--drain-timeout", "0.5"),
                *(
                    "--sockopt",
                    "tcp:SO_KEEPALIVE=on",
                    "--allow-privileged-ports",
                    "--answer-broadcast",
                ),
            ),
            Settings(
                tcp=(HostPort("::1", 1), HostPort("0.0.0.0", 2)),
                udp=(HostPort("127.0.0.1", 3),),
                backlog=5,
                sockopts=(parse("tcp:SO_KEEPALIVE=on"),),
                acknowledgement=b"\0",
                reply=b"ok",
                epoch=Epoch.RFC868,
                allow_privileged_ports=True,
                answer_broadcast=True,
                log_message_rate=0,
                drain_timeout=0.5,
            ),
        )

    def test_empty_texts(self) -> None:
        """An empty acknowledgement disables it, and an empty reply is none."""
        self.assertEqual(settings("--ack", "").acknowledgement, b"")
        self.assertEqual(settings("--reply", "").reply, b"")
        self.assertEqual(settings().reply, b"")

    def faults(self, *args: str) -> list[str]:
        """Return the lines of the usage error of a command line."""
        return str(self.assertRaises(UsageError, settings, *args)).splitlines()

    def test_removed_option(self) -> None:
        """--transport, which earlier versions had, is a fault that names its replacement."""
        (fault,) = self.faults("--transport", "stock")
        self.assertIn("unknown option --transport; there is one transport now", fault)
        self.assertIn("twistd -r epoll -n echotime", fault)

    def test_all_faults(self) -> None:
        """All faults are reported at once, one per line."""
        faults = self.faults(
            "--tcp", "x", "--udp", "70000", "--backlog", "many", "--drain-timeout", "-1", "--epoch", "0"
        )
        self.assertEqual(len(faults), 5)
        for fault, option in zip(faults, ("backlog", "epoch", "drain-timeout", "tcp", "udp"), strict=True):
            self.assertRegex(fault, "expected|must be")
            self.assertTrue(fault.startswith(f"--{option} "), fault)

    def test_control_characters(self) -> None:
        """Control characters in an argument are escaped in its error."""
        (fault,) = self.faults("--tcp", "\x1b[31m\n")
        self.assertTrue(fault.isprintable(), fault)

    def test_twice(self) -> None:
        """The same address twice is a fault; port 0 twice is not."""
        self.assertEqual(self.faults("--tcp", "7", "--tcp", "0.0.0.0:7"), ["--tcp 0.0.0.0:7: given twice"])
        self.assertEqual(len(settings("--tcp", "0", "--tcp", "0").tcp), 2)

    def test_unserved_option(self) -> None:
        """A socket option without a socket to act on is a warning, as other options of a transport are."""
        self.assertEqual(
            settings("--udp", "7", "--sockopt", "TCP_NODELAY=off").warnings,
            ("sockopt TCP_NODELAY=off has no effect: it acts on TCP sockets, and the daemon serves none",),
        )
        self.assertEqual(
            settings("--sockopt", "IPV6_V6ONLY=on").warnings,
            ("sockopt IPV6_V6ONLY=on has no effect: it acts on IPv6 TCP or UDP sockets, and the daemon serves none",),
        )
        self.assertEqual(settings("--tcp", "[::]:7", "--sockopt", "IP_TTL=9").warnings, ())

    def test_other_errors(self) -> None:
        """Other errors of getopt are passed on unchanged."""
        self.assertEqual(self.faults("--tcp"), ["option --tcp requires argument"])

    def test_exit_status(self) -> None:
        """UsageError in the options makes twistd exit with status 2."""
        ended = self.assertRaises(SystemExit, tap.Options().parseOptions, ["--tcp", "x"])
        self.assertEqual(ended.code, 2)


class CoercionTests(SynchronousTestCase):
    """Parse the values of options."""

    def assert_refused(self, coerce: Callable[[str], object], *texts: str) -> None:
        """Check that each text is refused with what is accepted."""
        for text in texts:
            self.assertRegex(str(self.assertRaises(ValueError, coerce, text)), "expected|must be|as in", text)

    def test_address(self) -> None:
        """An address is numeric, IPv6 in brackets, with a port."""
        self.assertEqual(host_and_port("0"), HostPort("0.0.0.0", 0))
        self.assertEqual(host_and_port("127.0.0.1:65535"), HostPort("127.0.0.1", 65535))
        self.assertEqual(str(host_and_port("[fe80::1%lo]:7")), "[fe80::1%lo]:7")
        for text in ("7", ":7", "*:7"):
            self.assertEqual(host_and_port(text), HostPort("0.0.0.0", 7))
        self.assert_refused(
            host_and_port,
            *(
                "",
                ":",
                "*",
                "[*]:7",
                "127.0.0.1",
                "127.0.0.1:",
                "127.1:7",
                "[127.0.0.1]:7",
                "[::1]",
                "[::1]:",
                "::1",
                "[]:7",
                "1:7,2:7",
            ),
            *("localhost:7", "1:65536", "-1", "[::1]7", "[::ffff:0.0.0.0]:7", "[::%1]:7", "[::1%lo]:7"),
        )
        for text in ("[0::]:7", "[0:0:0:0:0:0:0:0]:7", "[::0.0.0.0]:7"):
            self.assertEqual(host_and_port(text), HostPort("::", 7))

    def test_numbers(self) -> None:
        """Counts are whole, seconds may have fractions, and no number is negative or infinite."""
        self.assertEqual(parsers.non_negative_int("0"), 0)
        self.assertEqual(parsers.non_negative_seconds("0.5"), 0.5)
        for text, seconds in (("500ms", 0.5), ("5s", 5), ("1.5m", 90), ("2h", 7200)):
            self.assertEqual(parsers.non_negative_seconds(text), seconds)
        self.assert_refused(parsers.non_negative_int, "-1", "1.5", "", "1e3", "²", str(2**31))
        self.assert_refused(parsers.positive_int, "0")
        self.assert_refused(
            parsers.non_negative_seconds, "-1", "nan", "inf", "", "5d", "5 s", "s", "1000000h", "1_0", "1e3", "."
        )


class StartTests(SynchronousTestCase):
    """Run ListenerService and Daemon on ports that bind but are never polled."""

    def setUp(self) -> None:
        """Make a reactor that keeps time and ignores sockets."""
        self.reactor: Any = Clock()
        for name in ("addReader", "removeReader", "addWriter", "removeWriter"):
            setattr(self.reactor, name, lambda selectable: None)
        self.traffic = TrafficLog(self.reactor)
        self.factory = EchoFactory(self.traffic)
        self.on_signal: list[Callable[[], None]] = []
        self.readiness = Readiness(self.reactor)
        drain = Drain(self.factory, self.reactor, 5)
        self.daemon = Daemon(drain, self.traffic, self.readiness, self.on_signal.append)
        self.addCleanup(self.stop)

    def stop(self) -> None:
        stopping = self.daemon.stopService()
        self.reactor.advance(1)
        self.successResultOf(stopping)

    def listener(self, where: HostPort) -> TCPListenerService:
        """Add a TCP listener to the daemon."""
        port = EchoPort(where.port, self.factory, interface=where.host, reactor=self.reactor)
        listener = TCPListenerService(where, port)
        self.daemon.addService(listener)
        return listener

    def test_start(self) -> None:
        """privilegedStartService listens, and startService does not listen again."""
        listener = self.listener(HostPort("127.0.0.1", 0))
        self.daemon.privilegedStartService()
        where = listener.port.getHost()
        self.daemon.startService()
        self.assertEqual(listener.port.getHost(), where)

    def test_start_without_privileges(self) -> None:
        """startService listens also without privilegedStartService."""
        listener = self.listener(HostPort("127.0.0.1", 0))
        self.daemon.startService()
        self.assertTrue(listener.port.connected)

    def test_all_or_nothing(self) -> None:
        """If one port cannot be opened, those already open are closed."""
        first = self.listener(HostPort("127.0.0.1", 0))
        self.listener(HostPort("192.0.2.1", 0))
        failed = self.assertRaises(StartupError, self.daemon.privilegedStartService)
        self.reactor.advance(0)
        self.assertEqual(failed.code, 1)
        self.assertFalse(first.port.connected)

    def test_second_signal_ends_the_drain(self) -> None:
        """The handler of a second signal is set at the start, before any signal."""
        self.daemon.startService()
        self.assertEqual(self.on_signal, [self.daemon._drain.abort])

    def test_udp_errors_are_told(self) -> None:
        """A datagram that cannot be sent is counted by its error."""
        protocol = TimeProtocol(lambda: 0.0, ServiceCounters())
        port = TimePort(0, protocol, interface="127.0.0.1", reactor=self.reactor)
        self.daemon.addService(UDPListenerService(HostPort("127.0.0.1", 0), port))
        self.daemon.startService()
        port.write(b"", ("127.0.0.1", 0))
        self.assertEqual(port.errors, {"send EINVAL": 1})


class FailureTests(SynchronousTestCase):
    """Report a start that failed."""

    def test_status(self) -> None:
        """StartupError is an Exception for twistd and a SystemExit with status 1 for the interpreter."""
        failed = StartupError("reason")
        self.assertIsInstance(failed, Exception)
        self.assertIsInstance(failed, SystemExit)
        self.assertEqual((failed.code, str(failed)), (1, "reason"))

    def test_words(self) -> None:
        """Address, reason, errno and hint are in one line."""
        address = HostPort("::1", 7)
        refused = CannotListenError("::1", 7, PermissionError(13, "Permission denied"))
        self.assertEqual(
            listen_error_message("TCP", address, refused),
            "cannot listen on TCP [::1]:7: Permission denied (EACCES): ports below 1024 need CAP_NET_BIND_SERVICE, or root",  # noqa: E501
        )
        self.assertEqual(
            listen_error_message("UDP", address, RuntimeError("SO_X: reason")),
            "cannot listen on UDP [::1]:7: SO_X: reason",
        )
        self.assertEqual(
            listen_error_message("UDP", address, OSError(5, "I/O error")),
            "cannot listen on UDP [::1]:7: I/O error (EIO)",
        )


class TapTests(SynchronousTestCase):
    """Load the plugin and tap.py."""

    def test_no_epoll(self) -> None:
        """Without epoll(7) the echotime reactor is not installed, and Twisted chooses one."""
        installed = sys.modules.pop("twisted.internet.reactor")
        self.addCleanup(sys.modules.__setitem__, "twisted.internet.reactor", installed)
        self.patch(tap, "select", object())
        tap._install_reactor()
        self.assertNotIn("twisted.internet.reactor", sys.modules)

    def test_plugin(self) -> None:
        """twistd finds one plugin of the name, which leads to tap.py."""
        (plugin,) = [each for each in getPlugins(IServiceMaker) if each.tapname == "echotime"]
        self.assertIs(plugin.options, tap.Options)
        self.assertIs(plugin.makeService, tap.makeService)

    def test_service(self) -> None:
        """makeService makes one listener per address and opens nothing."""
        options = DaemonOptions()
        options.parseOptions(["--tcp", "1", "--udp", "2", "--udp", "3", "--reply", "ok"])
        service = tap.makeService(options)
        ports = [listener.port for listener in service if isinstance(listener, ListenerService)]
        self.assertEqual([type(port) for port in ports], [EchoPort, TimePort, TimePort])
        self.assertEqual([port.connected for port in ports], [0, 0, 0])

    def test_one_answer(self) -> None:
        """The time protocol can respond to a batch, as its answer depends on the time only."""
        protocol = TimeProtocol(lambda: 7.9, ServiceCounters())
        verifyObject(IBatchResponder, protocol)
        batch = Batch(3, socket.AF_INET, pktinfo=False)
        batch.count, batch.ordinary_addresses = 3, True
        self.assertEqual(protocol.batch_response(batch), b"\0\0\0\7")

    def test_stop_before_start(self) -> None:
        """A service that was never started stops without an error."""
        options = DaemonOptions()
        options.parseOptions(["--tcp", "127.0.0.1:0"])
        service = tap.build_daemon(options.settings, Clock())
        self.successResultOf(service.stopService())
