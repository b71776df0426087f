"""Apply the settings of a reload to the running daemon, and tell which of them require a restart.

The aim is the state that a start with these settings gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from echotime.config.settings import SETTING_OPTIONS, Settings
from echotime.daemon.limits_service import warn_of_shortfall
from echotime.daemon.ports.listener_service import TCPListenerService, UDPListenerService
from echotime.daemon.shutdown import ShutdownController
from echotime.limits.access import AccessList
from echotime.limits.capacity import Capacity
from echotime.services.drain import Drain
from echotime.services.echo_factory import EchoFactory
from echotime.services.timeouts import TimeoutMonitor
from echotime.sockopt.apply import OptionError, read_back
from echotime.sockopt.assignment import Assignment, select_assignments
from echotime.sockopt.option import Readable, SetDeadline

_OPTION_NAMES = {each.setting: each.name for each in SETTING_OPTIONS}
"""The name of each setting's option."""


@dataclass(frozen=True)
class ReloadResult:
    """The outcome of a reload."""

    settings: Settings
    """The settings in effect from now on."""
    changed: list[str]
    """Names of the options that were applied."""
    not_applied: list[str]
    """For each difference that was not applied, the text for the log."""


class PortResult(NamedTuple):
    """The outcome of applying one option to the ports."""

    changed: bool
    """True if a port has changed."""
    not_applied: list[str]
    """For each difference that was not applied, the text for the log."""


@dataclass(frozen=True)
class RuntimeConfig:
    """Hold the parts of the daemon that settings can change.

    `apply_log`, `apply_udp_rate`, `apply_replies` and `apply_proxies` are the builder's functions for these settings.
    `compute_capacity` returns the limits for --max-connections and --max-per-source. `on_applied` is called with the
    settings in effect, for listeners that are opened later.
    """

    factory: EchoFactory
    timeout_monitor: TimeoutMonitor
    drain: Drain
    shutdown: ShutdownController
    tcp: Sequence[TCPListenerService]
    udp: Sequence[UDPListenerService]
    apply_log: Callable[[Settings], None]
    apply_udp_rate: Callable[[Settings], None]
    apply_replies: Callable[[Settings], None]
    apply_proxies: Callable[[Settings], None]
    compute_capacity: Callable[[int | None, int | None], Capacity]
    on_applied: Callable[[Settings], object]

    def apply(self, old: Settings, new: Settings) -> ReloadResult:
        """Bring the daemon to the state that a start with `new` gives, as far as a running daemon can reach it.

        All options are applied, also those that do not differ from `old`. So nothing remains of a reload that failed.
        """
        differing = {name for name in _OPTION_NAMES if getattr(old, name) != getattr(new, name)}
        applied: set[str] = set()
        for names, apply in self._appliers():
            apply(new)
            applied.update(names)
        changed, not_applied = differing & applied, []
        for name, apply_to_ports in self._port_appliers():
            result = apply_to_ports(new)
            applied.add(name)
            changed.update({name} if result.changed else ())
            not_applied += result.not_applied
        restart_only = sorted(differing - applied)
        effective = replace(new, **{name: getattr(old, name) for name in restart_only})
        self.on_applied(effective)
        return ReloadResult(
            effective,
            sorted(_OPTION_NAMES[name] for name in changed),
            [*(f"changing {_OPTION_NAMES[name]} requires a restart" for name in restart_only), *not_applied],
        )

    def _appliers(self) -> Iterator[tuple[tuple[str, ...], Callable[[Settings], object]]]:
        """Yield the functions that apply settings to objects of the daemon, which cannot fail."""
        yield ("allow", "deny", "max_connections", "max_per_source"), self._apply_access
        yield ("idle_timeout", "half_closed_timeout", "session_timeout"), self._apply_timeouts
        yield ("udp_rate",), self.apply_udp_rate
        yield ("log_message_rate", "log_also"), self.apply_log
        yield ("drain_timeout",), lambda new: setattr(self.drain, "timeout", new.drain_timeout)
        yield ("stop_delay",), lambda new: setattr(self.shutdown, "stop_delay", new.stop_delay)
        yield ("answer_broadcast",), self._apply_answer_broadcast
        yield ("proxy_protocol", "quiet"), self._apply_proxies
        questions = ("reply_deadline", "max_questions", "max_questions_per_source", "wait_for_operator")
        yield ("acknowledgement", "reply", *questions), self.apply_replies

    def _port_appliers(self) -> Iterator[tuple[str, Callable[[Settings], PortResult]]]:
        """Yield the functions that apply settings to sockets.

        They compare a setting with the port's state, because a system call may fail, and an operator may change a port.
        """
        yield "backlog", self._apply_backlog
        yield "allow_privileged_ports", self._apply_min_source_port
        yield "sockopts", self._apply_sockopts

    def _apply_access(self, new: Settings) -> None:
        # takes no time even for long lists, which were built while the options were read
        access = AccessList(new.allow, new.deny)
        capacity = self.compute_capacity(new.max_connections, new.max_per_source)
        self.factory.admission.set_limits(access, capacity.limits)
        if self.tcp:
            warn_of_shortfall(capacity)
        for each in self.udp:
            each.port.protocol.policy.set_access(access)

    def _apply_timeouts(self, new: Settings) -> None:
        # each change begins a new idle time for all connections
        if self.tcp and new.timeouts != self.timeout_monitor.timeouts:
            self.timeout_monitor.set_timeouts(new.timeouts)

    def _apply_answer_broadcast(self, new: Settings) -> None:
        for each in self.udp:
            each.port.protocol.policy.set_answer_broadcast(new.answer_broadcast)

    def _apply_proxies(self, new: Settings) -> None:
        self.apply_proxies(new)
        for each in self.udp:
            each.port.protocol.policy.set_quiet(AccessList.only(new.quiet))

    def _apply_backlog(self, new: Settings) -> PortResult:
        changed, not_applied = False, []
        for each in self.tcp:
            if each.port.connected:
                try:
                    changed |= each.set_backlog(new.backlog)
                except OSError as error:
                    not_applied.append(f"cannot change backlog of {each.label}: {error.strerror}")
        return PortResult(changed, not_applied)

    def _apply_min_source_port(self, new: Settings) -> PortResult:
        changed, not_applied = False, []
        for each in self.udp:
            if each.port.connected and each.port.min_source_port != new.min_source_port:
                if each.port.set_min_source_port(new.min_source_port):
                    changed = True
                else:
                    not_applied.append(f"changing allow-privileged-ports on {each.label} requires a restart")
        return PortResult(changed, not_applied)

    def _apply_sockopts(self, new: Settings) -> PortResult:
        changed, not_applied = False, []
        listeners: list[TCPListenerService | UDPListenerService] = [*self.tcp, *self.udp]
        for each in listeners:
            if each.port.connected:
                result = _apply_to_port(each, new.sockopts)
                changed |= result.changed
                not_applied += result.not_applied
        return PortResult(changed, not_applied)


def _apply_to_port(listener: TCPListenerService | UDPListenerService, sockopts: Sequence[Assignment]) -> PortResult:
    """Set the options that the port does not have, and those that another option has changed."""
    port, where, adopted = listener.port, listener.label, listener.port.adopted
    before = {reading.assignment.option: reading for reading in port.read_back()}
    wanted = {each.option: each for each in select_assignments(sockopts, port.kind)}
    changed, not_applied = False, []
    for option, each in wanted.items():
        reading = before.get(option)
        now = read_back(port.socket, each, was_bound=adopted)
        if adopted and option.set_deadline is SetDeadline.BEFORE_BIND:
            if now.remark:
                not_applied.append(f"cannot set sockopt {each} on {where}: {now.remark}")
        elif (
            reading is not None
            and (reading.assignment.value, reading.effective) == (each.value, now.effective)
            and not port.is_overridden(option)
        ):
            pass
        elif option.set_deadline is SetDeadline.BEFORE_BIND or (
            # a second multicast group would be joined in addition to the first
            reading is not None and option.readable is Readable.NO
        ):
            not_applied.append(f"setting sockopt {each} on {where} requires a restart")
        else:
            try:
                listener.set_option(each)
            except OptionError as failed:
                not_applied.append(f"cannot set sockopt {each} on {where}: {failed.reason}")
            else:
                changed = True
    for option, reading in before.items():
        # on an adopted socket, an option that must be set before bind was not set
        if option not in wanted and not (adopted and option.set_deadline is SetDeadline.BEFORE_BIND):
            # the service manager keeps its socket, with the option, while the daemon restarts
            what = "a restart of the .socket unit" if adopted else "a restart"
            not_applied.append(f"removing sockopt {reading.assignment} from {where} requires {what}")
    return PortResult(changed, not_applied)
