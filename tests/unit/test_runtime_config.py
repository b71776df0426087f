"""Test daemon/runtime_config.py: reloads end in the state of a start with the last file, or tell what is missing."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from echotime.config.options import DaemonOptions
from echotime.config.settings import SETTING_OPTIONS, Settings
from echotime.daemon import adjtimex
from echotime.daemon.builder import DaemonBuilder
from echotime.daemon.runtime_config import ReloadResult, RuntimeConfig
from echotime.limits import capacity
from echotime.sockopt import assignment
from echotime.sockopt.apply import get_value
from echotime.sockopt.catalogue.index import CATALOGUE
from echotime.sockopt.option import Readable
from tests.support.stepping_reactor import SteppingEPollReactor, stepping
from tests.unit.test_config_file import finish

VALUES = {
    "backlog": ["1", "7", "5000"],
    "ack": ["", "x"],
    "reply": ["ok"],
    "reply-deadline": ["5", "9"],
    "wait-for-operator": ["on"],
    "max-questions": ["3"],
    "max-questions-per-source": ["1"],
    "udp-rate": ["0", "7"],
    "allow-privileged-ports": ["on"],
    "answer-broadcast": ["on"],
    "allow": ["127.0.0.0/8"],
    "deny": ["192.0.2.1"],
    "proxy-protocol": ["10.0.0.5"],
    "quiet": ["10.0.0.6"],
    "max-connections": ["10", "2000", "9999"],
    "max-per-source": ["2"],
    "idle-timeout": ["9", "90"],
    "half-closed-timeout": ["2"],
    "session-timeout": ["3"],
    "log-message-rate": ["2", "5"],
    "log-also": ["datagrams", "empty"],
    "drain-timeout": ["0", "9"],
    "stop-delay": ["0", "9"],
    "epoch": ["1900"],
    "encoding": ["gb18030"],
}
SOCKOPTS = [
    "SO_KEEPALIVE=on",
    "tcp:SO_KEEPALIVE=on",
    "SO_RCVBUF=64K",
    "SO_RCVBUF=128K",
    "udp:SO_RCVBUFFORCE=256K",
    "IP_TOS=0x10",
    "IP_TOS=0",
    "SO_PRIORITY=3",
    "tcp:TCP_NODELAY=off",
    "udp:SO_TIMESTAMP=on",
    "udp:SO_TIMESTAMPNS=on",
    "udp:IP_PKTINFO=on",
    "IP_FREEBIND=on",
    "SO_BINDTODEVICE=nosuch",
    "udp:IP_ADD_MEMBERSHIP=239.1.2.3%lo",
    "udp:IP_ADD_MEMBERSHIP=239.1.2.4%lo",
]
SHARED_STATE = {
    "SO_PRIORITY": {"IP_TOS"},
    "SO_RCVBUF": {"SO_RCVBUFFORCE"},
    "SO_RCVBUFFORCE": {"SO_RCVBUF"},
    "SO_TIMESTAMP": {"SO_TIMESTAMPNS"},
    "SO_TIMESTAMPNS": {"SO_TIMESTAMP"},
}
"""Options with the other options that change their value."""
DESCRIPTORS = 1024, 4096
"""The limits of descriptors with which a daemon is started."""

files = st.builds(
    lambda options, sockopts: {
        **options,
        **({"sockopt": "".join(f"\n  {each}" for each in sockopts)} if sockopts else {}),
    },
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()}),
    st.lists(st.sampled_from(SOCKOPTS), max_size=4),
)
commands = st.sampled_from(["backlog 3", "SO_KEEPALIVE=off", "SO_PRIORITY=5", "SO_RCVBUF=32K"])


class Run:
    """Run the daemon of a file on a reactor of its own, with simulated limits of descriptors."""

    def __init__(self, reactor: SteppingEPollReactor, options: DaemonOptions) -> None:
        self.reactor = reactor
        self.settings = options.settings
        self.builder = DaemonBuilder(options.settings, reactor)
        self.builder.service.privilegedStartService()
        self.builder.service.startService()

    def reload(self, new: Settings) -> ReloadResult:
        """Apply other settings as RuntimeConfig does."""
        result = self.builder.runtime_config.apply(self.settings, new)
        self.settings = result.settings
        return result

    def command(self, text: str) -> None:
        """Change the ports as an operator does."""
        (tcp,), (udp,) = self.builder.serving.tcp, self.builder.serving.udp
        name, _, number = text.partition(" ")
        if name == "backlog":
            tcp.port.set_backlog(int(number))
        else:
            tcp.port.set_option(assignment.parse(text))
            udp.port.set_option(assignment.parse(text))

    def state(self) -> dict[str, object]:
        """Return what the options have brought about, by option. Two sockets of a kind count as one option."""
        made = self.builder.serving
        (tcp,), (udp,) = made.tcp, made.udp
        policy = udp.port.protocol.policy
        admission, queue, monitor = made.factory.admission, made.reply_queue, made.timeout_monitor
        assert queue is not None
        found: dict[str, object] = {
            "ack": (made.factory.acknowledgement, made.factory.trailer, made.factory.reply_source is queue),
            "ack of quiet connections": (
                made.factory.quiet_factory.acknowledgement,
                made.factory.quiet_factory.trailer,
            ),
            "reply": queue.default_reply,
            "questions": queue.limits,
            "allow": [vars(access) for access in (admission._access, policy._access)],
            "max-connections": admission.limits,
            "timeouts": (monitor.timeouts, monitor._sweeper.running and monitor._sweeper.interval),
            "drain-timeout": (made.drain.timeout, made.shutdown._drain_timeout()),
            "stop-delay": made.shutdown.stop_delay,
            "udp-rate": (made.rate_limit.rate, made.rate_limit._exempt("127.0.0.1")),
            "log-message-rate": (made.traffic._message_limiter.max_lines, made.traffic.wants_messages),
            "log-also": (made.traffic.log_empty, made.traffic.datagrams._limiter.max_lines, policy.one_by_one),
            "answer-broadcast": policy._answer_broadcast,
            "proxy-protocol": made.factory.proxies and vars(made.factory.proxies),
            "quiet": [networks and vars(networks) for networks in (made.factory.quiet_networks, policy.quiet)],
            "allow-privileged-ports": (udp.port.min_source_port, udp.port.kernel_filtered, policy._min_source_port),
            "backlog": (tcp.port.accept_queue_limit, tcp.port.backlog),
            "epoch": udp.port.protocol._epoch,
        }
        for listener in (tcp, udp):
            for option in CATALOGUE:
                if option.fits(listener.port.kind) and option.readable is Readable.YES and option.settable:
                    try:
                        value = get_value(listener.port.socket, option)
                    except OSError as error:
                        value = error.errno or 0
                    found[f"{option.name} on {listener.transport.upper()}"] = value
        found["TCP_NODELAY on TCP"] = (found["TCP_NODELAY on TCP"], tcp.port.holds_output)
        return found


@contextmanager
def run(options: DaemonOptions) -> Iterator[Run]:
    """Run a daemon, and stop it."""
    limits = DESCRIPTORS

    def set_limits(_which: int, new: tuple[int, int]) -> None:
        nonlocal limits
        limits = new

    with (
        stepping() as reactor,
        patch.object(resource, "getrlimit", lambda _which: limits),
        patch.object(resource, "setrlimit", set_limits),
        patch.dict(capacity._limits_before, clear=True),
    ):
        reactor.installWaker = lambda: None  # type: ignore[method-assign]
        started = Run(reactor, options)
        try:
            yield started
        finally:
            started.builder.service.stopService()
            reactor.step(10)


class ConfigFile:
    """Write files, and parse each as a start and as a reload do."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = Path(folder, "echotime.conf")

    def write(self, options: dict[str, str]) -> None:
        """Write a file with these options."""
        fixed = {"tcp": "127.0.0.1:0", "udp": "127.0.0.1:0", "control": f"{self._folder}/socket"}
        lines = "".join(f"{name} = {value}\n" for name, value in {**fixed, **options}.items())
        self._path.write_text(f"[echotime]\n{lines}", encoding="ascii")

    def start(self, options: dict[str, str]) -> DaemonOptions:
        """Return the options of a start."""
        self.write(options)
        found = DaemonOptions()
        found.parseOptions(["--config", str(self._path)])
        return found


def told(difference: str, result: ReloadResult) -> bool:
    """Return True if a reload has told that a part of the state requires a restart."""
    name, _, transport = difference.partition(" on ")
    if transport:
        names = {name, *SHARED_STATE.get(name, ())}
        return any(
            f" on {transport} " in reason or f" from {transport} " in reason
            for reason in result.not_applied
            if any(f"sockopt {each}=" in reason.replace("tcp:", "").replace("udp:", "") for each in names)
        )
    return any(f"changing {name} requires a restart" in reason for reason in result.not_applied)


Step = dict[str, str] | str
"""A reload of a file, or an operator's command."""


@pytest.fixture(scope="module", autouse=True)
def opened_once() -> None:
    """Open the descriptors that the first daemon of a process opens for good, because they count for its limits."""
    with TemporaryDirectory() as folder, run(ConfigFile(folder).start({})):
        pass


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(files, st.lists(st.one_of(files, files, commands), max_size=5), files)
@example({"backlog": "7"}, ["backlog 3"], {"backlog": "7"})
@example({}, [{"max-connections": "2000"}], {})
@example({}, [{"sockopt": "SO_BINDTODEVICE=nosuch"}], {"sockopt": "SO_BINDTODEVICE=nosuch"})
@example({"sockopt": "\n IP_TOS=0\n SO_PRIORITY=3"}, [], {"sockopt": "\n IP_TOS=0x10\n SO_PRIORITY=3"})
@example(
    {"sockopt": "SO_RCVBUF=128K"},
    [{"sockopt": "udp:SO_RCVBUFFORCE=256K"}, {"sockopt": "SO_RCVBUF=64K"}],
    {"sockopt": "\n SO_RCVBUF=64K\n udp:SO_RCVBUFFORCE=256K"},
)
@example(
    {"sockopt": "udp:SO_TIMESTAMPNS=on"},
    [{"sockopt": "udp:SO_TIMESTAMP=on"}],
    {"sockopt": "\n udp:SO_TIMESTAMP=on\n udp:SO_TIMESTAMPNS=on"},
)
@example({"reply-deadline": "5"}, [{"epoch": "1900"}], {"idle-timeout": "9"})
def test_as_a_start(first: dict[str, str], steps: list[Step], last: dict[str, str]) -> None:
    """Any sequence of reloads ends in the state of a start with the last file, or tells each difference."""
    with TemporaryDirectory() as folder:
        file = ConfigFile(folder)
        refused = "SO_BINDTODEVICE=nosuch"
        first = {name: value for name, value in first.items() if refused not in value}
        options = file.start(first)
        with run(options) as daemon:
            for step in steps:
                if isinstance(step, str):
                    daemon.command(step)
                else:
                    file.write(step)
                    daemon.reload(finish(options.reparse()))
            file.write(last)
            daemon.reload(finish(options.reparse()))
            again = daemon.reload(finish(options.reparse()))
            found = daemon.state()
        assert again.changed == []
        if refused in last.get("sockopt", ""):
            # a start with it would fail
            assert told("SO_BINDTODEVICE on TCP", again)
            assert told("SO_BINDTODEVICE on UDP", again)
            last = {**last, "sockopt": last["sockopt"].replace(refused, "SO_BINDTODEVICE=")}
        with run(file.start(last)) as daemon:
            expected = daemon.state()
        assert [name for name in expected if found[name] != expected[name] and not told(name, again)] == []


def test_every_option() -> None:
    """The property test covers every option that a reload can change."""
    assert {each.name for each in SETTING_OPTIONS if each.reloadable} - {"sockopt"} <= VALUES.keys()


@contextmanager
def reloadable(first: dict[str, str]) -> Iterator[tuple[Run, Callable[[dict[str, str]], ReloadResult]]]:
    """Run a daemon, and provide the function that reloads it."""
    with TemporaryDirectory() as folder:
        file = ConfigFile(folder)
        options = file.start(first)
        with run(options) as daemon:

            def reload(changed: dict[str, str]) -> ReloadResult:
                file.write(changed)
                return daemon.reload(finish(options.reparse()))

            yield daemon, reload


def test_listener_of_behave_after_a_reload() -> None:
    """A listener that is opened after a reload has the settings of that reload, as those that were open."""
    changed = {
        "deny": "192.0.2.1",
        "quiet": "10.0.0.6",
        "answer-broadcast": "on",
        "allow-privileged-ports": "on",
        "backlog": "7",
        "sockopt": "SO_KEEPALIVE=on",
    }
    with reloadable({}) as (daemon, reload):
        reload(changed)
        made = daemon.builder.serving
        made.behave.change(["127.0.0.1:0=client"])
        expected = daemon.state()
        made.tcp, made.udp = made.listeners.tcp[1:], made.listeners.udp[1:]
        found = daemon.state()
        own = {"IP_RECVTTL on UDP", "IP_RECVTOS on UDP", "TCP_SAVE_SYN on TCP"}
        assert {name for name in expected if found[name] != expected[name]} == own


@pytest.mark.parametrize("status", [0, adjtimex.STA_UNSYNC])
def test_listener_of_behave_without_a_synchronized_clock(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """With --require-sync a listener that is opened later answers at once exactly if the others answer."""
    monkeypatch.setattr(adjtimex, "read_timex", lambda: adjtimex.Timex(status=status))
    with reloadable({"require-sync": "on"}) as (daemon, _reload):
        daemon.builder.serving.behave.change(["127.0.0.1:0=echo", "127.0.0.1:0=drop", "127.0.0.1:0=client"])
        policies = [each.port.protocol.policy for each in daemon.builder.serving.listeners.udp]
        assert [each._muted for each in policies] == [bool(status)] * 3


def test_locked_filter() -> None:
    """A filter that the kernel keeps is told at each reload; the daemon itself can still refuse more."""
    allowed: dict[str, str] = {"allow-privileged-ports": "on"}
    with reloadable({}) as (daemon, reload):
        (udp,) = daemon.builder.serving.udp
        lock = assignment.parse("1:44=1")  # SO_LOCK_FILTER
        udp.port.set_option(lock)
        for _ in range(2):
            result = reload(allowed)
            assert result.changed == []
            assert f"changing allow-privileged-ports on {udp.label} requires a restart" in result.not_applied
            assert (udp.port.min_source_port, udp.port.kernel_filtered) == (1024, True)
    with reloadable(allowed) as (daemon, reload):
        (udp,) = daemon.builder.serving.udp
        udp.port.set_option(lock)
        assert reload({}).changed == ["allow-privileged-ports"]
        assert (udp.port.protocol.policy._min_source_port, udp.port.kernel_filtered) == (1024, False)
        assert reload(allowed).changed == ["allow-privileged-ports"]


def test_failed_backlog() -> None:
    """A backlog that cannot be set is told at each reload, and set as soon as it can be."""
    with reloadable({}) as (daemon, reload):
        (tcp,) = daemon.builder.serving.tcp
        refused = PermissionError(errno.EPERM, "Operation not permitted")
        with patch.object(tcp.port, "set_backlog", side_effect=refused):
            for _ in range(2):
                assert reload({"backlog": "7"}) == ReloadResult(
                    daemon.settings, [], [f"cannot change backlog of {tcp.label}: Operation not permitted"]
                )
        assert reload({"backlog": "7"}).changed == ["backlog"]
        assert tcp.port.accept_queue_limit == 7


def test_failed_reload() -> None:
    """Nothing remains of a reload that an exception has ended, even if the file is the old one again."""
    with reloadable({}) as (daemon, reload):
        before = daemon.state()
        broken = patch.object(RuntimeConfig, "_apply_answer_broadcast", side_effect=ZeroDivisionError)
        with broken, suppress(ZeroDivisionError):
            reload({"deny": "192.0.2.1", "udp-rate": "9"})
        assert daemon.state() != before
        reload({})
        assert daemon.state() == before


def test_multicast_group() -> None:
    """Another multicast group requires a restart, because the socket would be a member of both."""
    groups = [{"sockopt": f"IP_ADD_MEMBERSHIP=239.1.2.{number}%lo"} for number in (3, 4)]
    with reloadable({}) as (daemon, reload):
        (udp,) = daemon.builder.serving.udp
        assert reload(groups[0]).changed == ["sockopt"]
        for _ in range(2):
            assert reload(groups[1]) == ReloadResult(
                daemon.settings,
                [],
                [f"setting sockopt IP_ADD_MEMBERSHIP=239.1.2.4%lo on {udp.label} requires a restart"],
            )


def test_shortfall(lines: list[str]) -> None:
    """A reload warns, as a start does, of a connection limit that the descriptors do not allow."""
    with reloadable({}) as (_daemon, reload):
        lines.clear()
        assert reload({"max-connections": "9999"}).changed == ["max-connections"]
        (line,) = lines
        assert line.startswith("--max-connections: requested {requested}, effective {connections}")


def test_udp_alone(lines: list[str]) -> None:
    """Without a TCP listener, limits of connections and timeouts have no effect, as at a start."""
    with reloadable({}) as (daemon, _reload):
        config = replace(daemon.builder.runtime_config, tcp=[])
        lines.clear()
        config.apply(daemon.settings, replace(daemon.settings, max_connections=9999, idle_timeout=1.0))
        assert lines == []
        assert not daemon.builder.serving.timeout_monitor._sweeper.running
