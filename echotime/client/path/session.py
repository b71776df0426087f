"""Run all experiments against one server, and repeat those with findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.channel import together
from echotime.client.path.experiment import Experiment
from echotime.client.path.outcome import FarEnd, Finding, Outcome
from echotime.client.path.route import Route
from echotime.client.path.tcp.address import AddressExperiment
from echotime.client.path.tcp.data import DataExperiment
from echotime.client.path.tcp.half_close import HalfCloseExperiment
from echotime.client.path.tcp.idle import IdleExperiment
from echotime.client.path.tcp.late_reply import LateReplyExperiment
from echotime.client.path.tcp.reset_to_client import ResetToClientExperiment
from echotime.client.path.tcp.reset_to_server import ResetToServerExperiment
from echotime.client.path.tcp.served import Unserved, identify, require_answer
from echotime.client.path.tcp.stream import open_stream
from echotime.client.path.tcp.syn import SynExperiment
from echotime.client.path.tcp.timing import TimingExperiment
from echotime.client.path.udp.empty import UdpEmptyExperiment
from echotime.client.path.udp.header import UdpHeaderExperiment
from echotime.client.path.udp.order import UdpOrderExperiment
from echotime.client.path.udp.ports import UdpPortsExperiment
from echotime.client.path.udp.served import UdpServedExperiment
from echotime.client.path.udp.sizes import UdpSizesExperiment
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

SERVED = N_("served")
_NO_TCP = N_("no complete echo over TCP")
_UDP_SERVED = UdpServedExperiment()
_TIMES = 2
"""How often a finding must be seen, where an experiment runs more than once."""


@dataclass(frozen=True)
class Result:
    """Hold the outcome of an experiment, and how often it ran."""

    name: str
    outcome: Outcome
    runs: int = 1
    times: dict[str, int] = field(default_factory=dict)
    """How often each finding was seen."""


def confirm(name: str, outcomes: Sequence[Outcome]) -> Result:
    """Return what several runs of an experiment found at least twice. One run counts as it is."""
    first = outcomes[0]
    times = Counter(name for outcome in outcomes for name in dict.fromkeys(each.id for each in outcome.findings))
    if len(outcomes) == 1:
        return Result(name, first, 1, dict(times))
    kept: list[Finding] = []
    for confirmed in (each for each, count in times.items() if count >= _TIMES):
        # one outcome may have several of a kind, such as options removed, so they are taken from one
        alike = ([each for each in outcome.findings if each.id == confirmed] for outcome in outcomes)
        kept += next(filter(None, alike))
    if kept:
        return Result(name, replace(first, findings=tuple(kept)), len(outcomes), dict(times))
    seen = next(outcome.findings[0].seen for outcome in outcomes if outcome.findings)
    text = _("seen once, and not again: {seen}").format(seen=seen)
    return Result(name, Outcome(unconfirmed=text), len(outcomes))


class PathSession:
    """Run the experiments. `results` has those that have ended; Ctrl-C may cancel `run` at any time."""

    def __init__(self, reactor: Any, address: ResolvedAddress, idle_limit: float) -> None:
        self._reactor = reactor
        self._address = address
        self.far_end: FarEnd | None = None
        """None if nothing answers over TCP, or no echo server."""
        self.error: ClientError | None = None
        """Why no connection could be made, even during the run, or that the server is no echo server."""
        self._gone = ""
        """Why the remaining tests are not carried out, once the server has gone."""
        self.results: list[Result] = []
        self._beside: tuple[Experiment, ...] = (IdleExperiment(idle_limit), LateReplyExperiment())
        """They mostly wait, so they run beside the others."""
        self._tcp: tuple[Experiment, ...] = (
            *(AddressExperiment(), SynExperiment(), HalfCloseExperiment(), ResetToClientExperiment()),
            *(ResetToServerExperiment(), TimingExperiment(), DataExperiment()),
        )
        self._udp: tuple[Experiment, ...] = (
            *(UdpPortsExperiment(), UdpHeaderExperiment(), UdpEmptyExperiment()),
            *(UdpOrderExperiment(), UdpSizesExperiment()),
        )
        names = [each.name for each in (*self._tcp, *self._beside, _UDP_SERVED, *self._udp)]
        self._order = {name: number for number, name in enumerate((SERVED, *names))}

    @property
    def count(self) -> int:
        """The number of all tests."""
        return len(self._order)

    def in_order(self) -> list[Result]:
        """Return the results in the order of the table, which is not that in which the tests end."""
        return sorted(self.results, key=lambda result: self._order[result.name])

    async def run(self) -> None:
        """Run all experiments, those over UDP also if TCP does not work. `error` may be set then."""
        served = await self._identify()
        self.results.append(confirm(SERVED, [served]))
        if self.far_end is None:
            self._skip([each.name for each in (*self._tcp, *self._beside)], self._gone or _(_NO_TCP))
            unknown = FarEnd("", None, {}, self._address.hostport)
            await self._run_udp(Route(self._reactor, self._address, unknown))
            return
        route = Route(self._reactor, self._address, self.far_end)
        running = [self._run_all(route, (each,)) for each in self._beside]
        running.append(self._run_in_turn(route))
        await together(running)

    def interrupt(self) -> None:
        """List the tests that have not ended as not tested."""
        ended = {each.name for each in self.results}
        self._skip([each for each in self._order if each not in ended], _("interrupted"))

    def _skip(self, names: Iterable[str], reason: str) -> None:
        self.results += [Result(each, Outcome(untested=reason)) for each in names]

    async def _identify(self) -> Outcome:
        """Find out what the server is, and return the outcome of the first test."""
        try:
            self.far_end = await identify(self._reactor, self._address)
        except Unserved as unserved:
            return await self._unless_gone(unserved.outcome, self._connect())
        except ClientError as error:
            self.error = error
            return Outcome(untested=_reason(error))
        return Outcome(_describe(self.far_end))

    async def _connect(self) -> None:
        (await open_stream(self._reactor, self._address)).close()

    async def _unless_gone(self, outcome: Outcome, check: Coroutine[Any, Any, None]) -> Outcome:
        """Return the outcome, or that it was not tested if `check` fails: a server that is gone looks like a path.

        After a timeout the outcome stays, because the path may drop SYNs.
        """
        try:
            await check
        except Unserved as unserved:
            reason = unserved.outcome.findings[0].seen
        except ClientError as error:
            reason = _reason(error)
            if error.status is ExitStatus.REFUSED:
                self.error = error
                self._gone = _("the server went away during the run: {reason}").format(reason=reason)
                return Outcome(untested=self._gone)
            if error.status is ExitStatus.TIMED_OUT:
                return outcome
        else:
            return outcome
        untested = outcome.untested or _("the server no longer answers: {reason}").format(reason=reason)
        return Outcome(untested=untested)

    async def _run_in_turn(self, route: Route) -> None:
        await self._run_all(route, self._tcp)
        await self._run_udp(route)

    async def _run_udp(self, route: Route) -> None:
        served = await self._run_one(route, _UDP_SERVED)
        if served.outcome.findings or served.outcome.untested:
            self._skip([each.name for each in self._udp], self._gone or _("UDP is not answered"))
            return
        await self._run_all(route, self._udp)

    async def _run_all(self, route: Route, experiments: Sequence[Experiment]) -> None:
        for each in experiments:
            await self._run_one(route, each)

    async def _run_one(self, route: Route, experiment: Experiment) -> Result:
        """Run an experiment, again if it has findings, and keep its result."""
        if self._gone:
            result = Result(experiment.name, Outcome(untested=self._gone))
        elif experiment.needs_behavior and not route.far_end.behaves:
            reason = _("the server needs --behave ADDRESS=client") if self.far_end is not None else _(_NO_TCP)
            result = Result(experiment.name, Outcome(untested=reason))
        else:
            outcomes = [await _run_once(route, experiment)]
            if outcomes[0].findings:
                for _number in range(experiment.runs - 1):
                    outcomes.append(await _run_once(route, experiment))
            result = confirm(experiment.name, outcomes)
            if self.far_end is not None and (result.outcome.findings or not result.outcome.seen):
                result = replace(result, outcome=await self._unless_gone(result.outcome, require_answer(route)))
        self.results.append(result)
        return result


async def _run_once(route: Route, experiment: Experiment) -> Outcome:
    try:
        return await experiment.run(route)
    except ClientError as error:
        return Outcome(untested=_("the connection failed: {reason}").format(reason=_reason(error)))
    except OSError as error:
        return Outcome(untested=ClientError.from_errno(error.errno or 0).detail)
    except ValueError as error:
        return Outcome(untested=str(error))


def _reason(error: ClientError) -> str:
    texts = {
        ExitStatus.NO_ANSWER: _("no answer"),
        ExitStatus.TIMED_OUT: _("timed out"),
        ExitStatus.FAILED: _("it ended without a report"),
    }
    return error.detail or texts.get(error.status, error.status.name)


def _describe(far_end: FarEnd) -> str:
    if far_end.behaves:
        return _("echotime {version}, which lets clients choose").format(version=far_end.version)
    return _("an echo server without --behave ADDRESS=client")
