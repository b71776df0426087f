"""Read the options again at SIGHUP, check all of them, and then apply those that can change in a running daemon.

A configuration file may hold a long access list. It is read in slices, and the reactor runs between them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.python.usage import UsageError

from echotime.config.settings import SETTING_OPTIONS, Settings
from echotime.daemon.listener_service import TCPListenerService, UDPListenerService
from echotime.limits.access import AccessList
from echotime.limits.capacity import Capacity
from echotime.logger import Logger
from echotime.net.listener import Listener, ListeningPort
from echotime.operators.reply_queue import ReplyQueue
from echotime.services.drain import Drain
from echotime.services.tcp_echo import EchoFactory
from echotime.services.timeouts import TimeoutMonitor
from echotime.sockopt.apply import OptionError
from echotime.sockopt.assignment import select_assignments
from echotime.sockopt.option import SetDeadline

MAX_SLICE = 0.002
"""Seconds for which a reload may keep the reactor busy at a time."""
MIN_INTERVAL = 0.5
"""Seconds from the end of a reload until the next one may begin."""
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


class Applier(Protocol):
    """Apply new settings to the daemon."""

    def apply(self, old: Settings, new: Settings) -> ReloadResult:
        """Apply what differs and can change while the daemon runs."""


@dataclass(frozen=True)
class RuntimeConfig:
    """Hold the parts of the daemon that settings can change.

    `apply_udp_rate` and `apply_replies` are the builder's functions for these settings. `compute_capacity` returns the
    limits for --max-connections and --max-per-source.
    """

    factory: EchoFactory
    timeout_monitor: TimeoutMonitor
    drain: Drain
    reply_queue: ReplyQueue | None
    tcp: Sequence[TCPListenerService]
    udp: Sequence[UDPListenerService]
    apply_udp_rate: Callable[[Settings], None]
    apply_replies: Callable[[Settings], None]
    compute_capacity: Callable[[int | None, int | None], Capacity]

    def apply(self, old: Settings, new: Settings) -> ReloadResult:
        """Apply what differs and can change while the daemon runs."""
        differing = {name for name in _OPTION_NAMES if getattr(old, name) != getattr(new, name)}
        appliers = {name: apply for names, apply in self._appliers() for name in names}
        for apply in dict.fromkeys(appliers[name] for name in appliers if name in differing):
            apply(new)
        changed = [_OPTION_NAMES[name] for name in sorted(differing & appliers.keys())]
        restart_only = sorted(differing - appliers.keys() - {"sockopts"})
        not_applied = [f"changing {_OPTION_NAMES[name]} requires a restart" for name in restart_only]
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
        # takes no time even for long lists, which were built while the options were read
        access = AccessList(new.allow, new.deny)
        self.factory.admission.set_limits(access, self.compute_capacity(new.max_connections, new.max_per_source).limits)
        for each in self.udp:
            each.port.protocol.policy.set_access(access)

    def _apply_timeouts(self, new: Settings) -> None:
        self.timeout_monitor.set_timeouts(new.timeouts)

    def _apply_udp_filters(self, new: Settings) -> None:
        for each in self.udp:
            each.port.protocol.policy.set_answer_broadcast(new.answer_broadcast)
            if each.port.connected:
                each.port.set_min_source_port(new.min_source_port)

    def _apply_backlog(self, new: Settings) -> None:
        for each in self.tcp:
            if each.port.connected:
                each.port.set_backlog(new.backlog)

    def _apply_sockopts(self, old: Settings, new: Settings) -> tuple[int, list[str]]:
        """Return the number of options set, and for each option that was not set the text for the log."""
        set_count, not_applied = 0, []
        listeners: list[Listener[ListeningPort]] = [*self.tcp, *self.udp]
        for listener in listeners:
            where, port = listener.label, listener.port
            old_sockopts, new_sockopts = (select_assignments(each.sockopts, port.kind) for each in (old, new))
            for each in new_sockopts:
                if each in old_sockopts:
                    continue
                if each.option.set_deadline is SetDeadline.BEFORE_BIND:
                    not_applied.append(f"setting sockopt {each} on {where} requires a restart")
                    continue
                try:
                    port.set_option(each)
                except OptionError as failed:
                    not_applied.append(f"cannot set sockopt {each} on {where}: {failed.reason}")
                else:
                    set_count += 1
            kept = {each.option for each in new_sockopts}
            not_applied += [
                f"removing sockopt {each} from {where} requires a restart"
                for each in old_sockopts
                if each.option not in kept
            ]
        return set_count, not_applied


class ReloadService(Service):
    """Reload at SIGHUP while the service runs.

    `reparse` parses the options again. It yields after each short step, and raises UsageError. `on_reload` is called
    with True when a reload begins and with False when it ends, unless the daemon stops first.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        reparse: Callable[[], Generator[None, None, Settings]],
        runtime_config: Applier,
        reactor: Any,
        on_reload: Callable[[bool], object] = lambda in_progress: None,
    ) -> None:
        self.settings = settings
        self._reparse = reparse
        self._runtime_config = runtime_config
        self._reactor = reactor
        self._on_reload = on_reload
        self._previous_handler: Any = None
        self._steps: Generator[None, None, None] | None = None
        """The rest of a reload that has begun."""
        self._next_slice: Any = None
        self._is_requested = False
        """True from a signal until the next one is accepted."""

    def startService(self) -> None:
        super().startService()
        self._previous_handler = signal.signal(signal.SIGHUP, self._on_signal)
        self._log.info("reload: enabled (SIGHUP)")

    def stopService(self) -> None:
        """Abandon a reload that has begun, and ignore SIGHUP from now on."""
        super().stopService()
        if self._previous_handler is not None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self._accept_signal()
        if self._steps is not None:
            self._next_slice.cancel()
            self._steps.close()
            self._steps = None

    def reload(self) -> None:
        """Begin a reload, unless one is in progress."""
        if not self.running or self._steps is not None:
            return
        self._on_reload(True)
        self._steps = self._reload_steps()
        self._run_slice(self._steps)

    def _on_signal(self, number: int, frame: object) -> None:
        """Begin a reload, and block the signal until it has ended. The kernel keeps one further signal, not several."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        if not self._is_requested:  # another signal may have arrived before they were blocked
            self._is_requested = True
            self._reactor.callFromThread(self.reload)

    def _accept_signal(self) -> None:
        self._is_requested = False
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _run_slice(self, steps: Generator[None, None, None]) -> None:
        deadline = self._reactor.seconds() + MAX_SLICE
        try:
            for _step in steps:
                if self._reactor.seconds() >= deadline:
                    self._next_slice = self._reactor.callLater(0, self._run_slice, steps)
                    return
        except Exception:
            self._log.failure("reload failed")
        self._steps = None
        self._on_reload(False)
        self._reactor.callLater(MIN_INTERVAL, self._accept_signal)

    def _reload_steps(self) -> Generator[None, None, None]:
        try:
            new = yield from self._reparse()
        except UsageError as error:
            for error_line in str(error).splitlines():
                self._log.error("reload failed: {fault}", fault=error_line)
            return
        result = self._runtime_config.apply(self.settings, new)
        became_open = bool(self.settings.allow) and not new.allow
        self.settings = result.settings
        self._log.info("reload: changed: {changed}", changed=", ".join(result.changed) or "nothing")
        if became_open:
            self._log.warn("reload: --allow removed: every source that --deny does not list is served")
        for each in result.not_applied:
            self._log.warn("reload: {reason}", reason=each)
