"""What of a running daemon can be changed, and how; of all else it is said that it takes a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from echotime.daemon.limits import room
from echotime.daemon.listeners import Listener
from echotime.daemon.settings import Settings
from echotime.desk.questions import Desk
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.servers.access import Access
from echotime.servers.drain import Drain
from echotime.servers.echo import EchoFactory
from echotime.servers.time import TimeProtocol
from echotime.servers.timeouts import TimeoutWatch
from echotime.sockopt.apply import OptionFailed
from echotime.sockopt.assignment import Assignment, chosen
from echotime.sockopt.option import Moment

_OPTIONS = {"acknowledgement": "ack", "asked": "sockopt"}
"""Settings that are named otherwise than their options."""


@dataclass(frozen=True)
class Outcome:
    """Of a change: the settings that hold now, what was changed, and what was not, with the reason."""

    settings: Settings
    changed: list[str]
    left: list[str]


@dataclass(frozen=True)
class Live:
    """The parts of a daemon that settings can reach. `rate`, `words` and `lowest_port` are how those are wired."""

    factory: EchoFactory
    timeouts: TimeoutWatch
    drain: Drain
    desk: Desk | None
    listeners: Sequence[Listener]
    rate: Callable[[Settings], None]
    words: Callable[[Settings], None]
    lowest_port: Callable[[Settings], int]

    def change(self, old: Settings, new: Settings) -> Outcome:
        """Make it so, as far as it can be while it runs."""
        differ = {each.name for each in fields(Settings) if getattr(old, each.name) != getattr(new, each.name)}
        possible = {name: act for names, act in self._ways() for name in names}
        for act in dict.fromkeys(possible[name] for name in possible if name in differ):
            act(new)
        changed = [each for name in sorted(differ & possible.keys()) for each in _options(name, old, new)]
        impossible = sorted(differ - possible.keys() - {"asked"})
        left = [f"{each}: it takes a restart" for name in impossible for each in _options(name, old, new)]
        if "asked" in differ:
            number, not_set = self._set_options(old, new)
            changed += ["sockopt"] * bool(number)
            left += not_set
        return Outcome(replace(new, **{name: getattr(old, name) for name in impossible}), changed, left)

    def _ways(self) -> Iterator[tuple[tuple[str, ...], Callable[[Settings], Any]]]:
        yield ("allow", "deny", "max_connections", "max_per_source"), self._admit
        yield ("timeouts",), lambda new: self.timeouts.change(new.timeouts)
        yield ("udp_rate",), self.rate
        yield ("show_messages",), lambda new: self.factory.traffic.show(new.show_messages)
        yield ("drain_seconds",), lambda new: setattr(self.drain, "seconds", new.drain_seconds)
        yield ("acknowledgement", "reply"), self.words
        yield ("answer_broadcast", "answer_low_ports"), self._answer
        yield ("backlog",), self._listen
        if self.desk is not None:
            yield ("reply_deadline", "max_questions", "max_questions_per_source", "wait_for_operator"), self.words

    def _admit(self, new: Settings) -> None:
        # takes no time, however long the lists are: they were built while the options were read
        access = Access(new.allow, new.deny)
        self.factory.admission.change(access, room(new.max_connections, new.max_per_source).limits)
        for port in self._ports(TimePort):
            if isinstance(port.protocol, TimeProtocol):
                port.protocol.admit(access)

    def _answer(self, new: Settings) -> None:
        for port in self._ports(TimePort):
            port.answer_broadcast = new.answer_broadcast
            port.answer_from(self.lowest_port(new))

    def _listen(self, new: Settings) -> None:
        for port in self._ports(EchoPort):
            port.listen_again(new.backlog)

    def _ports(self, kind: type[Any]) -> list[Any]:
        return [each.port for each in self.listeners if isinstance(each.port, kind) and each.port.connected]

    def _set_options(self, old: Settings, new: Settings) -> tuple[int, list[str]]:
        """How many were set, and what was not."""
        number, left = 0, []
        for listener in self.listeners:
            before, after = (chosen(each.asked, listener.port.kind) for each in (old, new))
            for each in after:
                reason = "" if each in before else _set(listener, each)
                number += each not in before and not reason
                left += [f"sockopt {each} on {listener.where}: {reason}"] * bool(reason)
            kept = {each.option for each in after}
            gone = (each for each in before if each.option not in kept)
            left += [f"sockopt {each} on {listener.where} is not asked for now: it takes a restart" for each in gone]
        return number, left


def _set(listener: Listener, asked: Assignment) -> str:
    """Set one; why not."""
    if asked.option.moment is Moment.BEFORE_BIND:
        return "it takes a restart"
    try:
        listener.port.change(asked)
    except OptionFailed as failed:
        return failed.reason
    return ""


def _options(name: str, old: Settings, new: Settings) -> list[str]:
    """The options, of those that make up a setting, that are others now."""
    if name == "timeouts":
        before, after = (vars(each.timeouts) for each in (old, new))
        return [f"{each.replace('_', '-')}-timeout" for each in before if before[each] != after[each]]
    return [_OPTIONS.get(name, name.replace("_", "-"))]
