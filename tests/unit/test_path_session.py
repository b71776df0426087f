"""Test what `echotime path` makes of a server that ends during a run, and of failures of this host."""

from __future__ import annotations

import errno
import socket

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.outcome import FarEnd, Finding, Outcome
from echotime.client.path.route import Route
from echotime.client.path.session import PathSession, Result
from echotime.client.path.tcp.served import Unserved, judge_unserved
from echotime.client.path.tcp.stream import Stream
from echotime.wire.hostport import HostPort

ADDRESS = ResolvedAddress(socket.AF_INET, "127.0.0.1", 7001)
FAR_END = FarEnd("1.0", b"", {}, HostPort("127.0.0.1", 40000))
FOUND = Outcome(findings=(Finding("udp-refused", "an ICMP error: ECONNREFUSED"),))
REFUSED = ClientError.from_errno(errno.ECONNREFUSED)
GONE = "the server went away during the run: Connection refused (ECONNREFUSED)"


class _Fixed:
    """An experiment that always has the same outcome."""

    name = "udp"
    needs_behavior = False
    runs = 1

    def __init__(self, outcome: Outcome | Exception) -> None:
        self._outcome = outcome

    async def run(self, route: Route) -> Outcome:
        """Return the outcome, or raise it."""
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def run(
    monkeypatch: pytest.MonkeyPatch, outcome: Outcome | Exception, check: Exception | None
) -> tuple[PathSession, Outcome, int]:
    """Run an experiment. Return the session, the outcome that it keeps, and how often the server was checked."""
    checks: list[Route] = []

    async def require_answer(route: Route) -> None:
        checks.append(route)
        if check is not None:
            raise check

    monkeypatch.setattr("echotime.client.path.session.require_answer", require_answer)
    session = PathSession(Clock(), ADDRESS, 1.0)
    session.far_end = FAR_END
    results: list[Result] = []
    route = Route(Clock(), ADDRESS, FAR_END)
    Deferred.fromCoroutine(session._run_one(route, _Fixed(outcome))).addCallback(results.append)
    assert session.results == results
    return session, results[0].outcome, len(checks)


def test_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that still answers confirms a finding. Without one it is not checked."""
    session, kept, checks = run(monkeypatch, FOUND, None)
    assert (session.error, kept, checks) == (None, FOUND, 1)
    assert run(monkeypatch, Outcome("fine"), REFUSED)[1:] == (Outcome("fine"), 0)


@pytest.mark.parametrize("outcome", [FOUND, Outcome(unconfirmed="seen once"), Outcome(untested="no answer"), REFUSED])
def test_gone(monkeypatch: pytest.MonkeyPatch, outcome: Outcome | Exception) -> None:
    """A server that refuses connections by now is no finding, and no later test is carried out."""
    session, kept, _checks = run(monkeypatch, outcome, REFUSED)
    assert kept == Outcome(untested=GONE)
    assert session.error is not None
    assert session.error.status is ExitStatus.REFUSED
    Deferred.fromCoroutine(session._run_udp(Route(Clock(), ADDRESS, FAR_END)))
    assert {each.outcome.untested for each in session.results} == {GONE}
    assert len(session.results) == 7


def test_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that no longer answers in another way gives no finding, and is tried again."""
    for check, reason in (
        (Unserved(judge_unserved(None, 3.0)), "connected, and no byte within 3 s"),
        (ClientError.from_errno(errno.EHOSTUNREACH), "No route to host (EHOSTUNREACH)"),
    ):
        session, kept, _checks = run(monkeypatch, FOUND, check)
        assert (session.error, kept.untested) == (None, f"the server no longer answers: {reason}")
    assert run(monkeypatch, Outcome(untested="too busy"), check)[1].untested == "too busy"


def test_dropped_syns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that drops new connections keeps its findings."""
    assert run(monkeypatch, FOUND, ClientError(ExitStatus.TIMED_OUT))[1] == FOUND


def test_gone_at_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first messages are not cut by the path if connections are refused right after it."""

    async def identify(reactor: object, address: ResolvedAddress) -> FarEnd:
        raise Unserved(judge_unserved("FIN", 0.1))

    async def open_stream(reactor: object, address: ResolvedAddress) -> Stream:
        raise REFUSED

    monkeypatch.setattr("echotime.client.path.session.identify", identify)
    monkeypatch.setattr("echotime.client.path.session.open_stream", open_stream)
    session = PathSession(Clock(), ADDRESS, 1.0)
    Deferred.fromCoroutine(session.run())
    assert [each.outcome for each in session.results] == [Outcome(untested=GONE)] * session.count
    assert session.error == REFUSED


def test_errors_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a system call is worded as elsewhere."""
    error = OSError(errno.EADDRINUSE, "Address already in use")
    assert run(monkeypatch, error, None)[1].untested == "Address already in use (EADDRINUSE)"
