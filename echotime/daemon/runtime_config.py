"""What of a running daemon can be changed, and how; of all else it is said that it takes a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from echotime.config.settings import SETTING_OPTIONS, Settings
from echotime.daemon.listener_service import ListenerService
from echotime.limits.access import AccessList
from echotime.limits.capacity import compute_capacity
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.operators.reply_queue import ReplyQueue
from echotime.services.drain import Drain
from echotime.services.tcp_echo import EchoFactory
from echotime.services.timeouts import TimeoutMonitor
from echotime.services.udp_time import TimeProtocol
from echotime.sockopt.apply import OptionError
from echotime.sockopt.assignment import Assignment, select_assignments
from echotime.sockopt.option import SetDeadline

_OPTION_NAMES = {each.setting: each.name for each in SETTING_OPTIONS}


@dataclass(frozen=True)
class ReloadResult:
    """Of a change: the settings that hold now, what was changed, and what was not, with the reason."""

    settings: Settings
    changed: list[str]
    not_applied: list[str]


@dataclass(frozen=True)
class RuntimeConfig:
    """The parts of a daemon that settings can reach.

    `apply_udp_rate` and `apply_replies` are how those are wired.
    """

    factory: EchoFactory
    timeout_monitor: TimeoutMonitor
    drain: Drain
    reply_queue: ReplyQueue | None
    listeners: Sequence[ListenerService]
    apply_udp_rate: Callable[[Settings], None]
    apply_replies: Callable[[Settings], None]

    def apply(self, old: Settings, new: Settings) -> ReloadResult:
        """Make it so, as far as it can be while it runs."""
        differing = {name for name in _OPTION_NAMES if getattr(old, name) != getattr(new, name)}
        appliers = {name: act for names, act in self._appliers() for name in names}
        for act in dict.fromkeys(appliers[name] for name in appliers if name in differing):
            act(new)
        changed = [_OPTION_NAMES[name] for name in sorted(differing & appliers.keys())]
        restart_only = sorted(differing - appliers.keys() - {"sockopts"})
        not_applied = [f"{_OPTION_NAMES[name]}: it takes a restart" for name in restart_only]
        if "sockopts" in differing:
            set_count, not_set = self._apply_sockopts(old, new)
            changed += ["sockopt"] * bool(set_count)
            not_applied += not_set
        return ReloadResult(replace(new, **{name: getattr(old, name) for name in restart_only}), changed, not_applied)

    def _appliers(self) -> Iterator[tuple[tuple[str, ...], Callable[[Settings], Any]]]:
        yield ("allow", "deny", "max_connections", "max_per_source"), self._apply_access
        yield ("idle_timeout", "half_closed_timeout", "session_timeout"), self._apply_timeouts
        yield ("udp_rate",), self.apply_udp_rate
        yield ("log_message_rate",), lambda new: self.factory.traffic.set_message_rate(new.log_message_rate)
        yield ("drain_timeout",), lambda new: setattr(self.drain, "timeout", new.drain_timeout)
        yield ("acknowledgement", "reply"), self.apply_replies
        yield ("answer_broadcast", "allow_privileged_ports"), self._apply_udp_filters
        yield ("backlog",), self._apply_backlog
        if self.reply_queue is not None:
            yield (
                ("reply_deadline", "max_questions", "max_questions_per_source", "wait_for_operator"),
                self.apply_replies,
            )

    def _apply_access(self, new: Settings) -> None:
        # takes no time, however long the lists are: they were built while the options were read
        access = AccessList(new.allow, new.deny)
        self.factory.admission.set_limits(access, compute_capacity(new.max_connections, new.max_per_source).limits)
        for port in self._ports(TimePort):
            if isinstance(port.protocol, TimeProtocol):
                port.protocol.set_access(access)

    def _apply_timeouts(self, new: Settings) -> None:
        self.timeout_monitor.set_timeouts(new.timeouts)

    def _apply_udp_filters(self, new: Settings) -> None:
        for port in self._ports(TimePort):
            port.answer_broadcast = new.answer_broadcast
            port.set_min_source_port(new.min_source_port)

    def _apply_backlog(self, new: Settings) -> None:
        for port in self._ports(EchoPort):
            port.set_backlog(new.backlog)

    def _ports(self, port_type: type[Any]) -> list[Any]:
        return [each.port for each in self.listeners if isinstance(each.port, port_type) and each.port.connected]

    def _apply_sockopts(self, old: Settings, new: Settings) -> tuple[int, list[str]]:
        """How many were set, and what was not."""
        set_count, not_applied = 0, []
        for listener in self.listeners:
            old_sockopts, new_sockopts = (select_assignments(each.sockopts, listener.port.kind) for each in (old, new))
            for each in new_sockopts:
                reason = "" if each in old_sockopts else _set_option(listener, each)
                set_count += each not in old_sockopts and not reason
                not_applied += [f"sockopt {each} on {listener.label}: {reason}"] * bool(reason)
            kept = {each.option for each in new_sockopts}
            removed = (each for each in old_sockopts if each.option not in kept)
            not_applied += [
                f"sockopt {each} on {listener.label} is not asked for now: it takes a restart" for each in removed
            ]
        return set_count, not_applied


def _set_option(listener: ListenerService, assignment: Assignment) -> str:
    """Set one; why not."""
    if assignment.option.set_deadline is SetDeadline.BEFORE_BIND:
        return "it takes a restart"
    try:
        listener.port.set_option(assignment)
    except OptionError as failed:
        return failed.reason
    return ""
