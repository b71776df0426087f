"""Test how `echotime path` prints what it found."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.task import Clock

from echotime.cli.output import path_report
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.session import PathSession, Result, confirm
from echotime.wire.hostport import HostPort

OPTIONS = tuple(Finding("syn-option-removed", f"without {each}") for each in ("MPTCP", "Fast Open"))


def session_of(*results: Result) -> PathSession:
    """Return a session with these results."""
    session = PathSession(Clock(), ResolvedAddress(socket.AF_INET, "127.0.0.1", 7001), 1)
    session.results += results
    return session


def values_of(session: PathSession, **arguments: bool) -> dict[str, Any]:
    """Return the fields of --json."""
    return path_report.path_json(HostPort("localhost", 7001), session._address, session, 1.5, **arguments)


def test_findings() -> None:
    """JSON has the text of the table, and the last line counts the findings that are explained."""
    values = values_of(session_of(confirm("syn", [Outcome("fine", OPTIONS)])))
    assert values["tests"] == [
        {"test": "syn", "result": "finding", "seen": "without MPTCP; without Fast Open", "runs": 1}
    ]
    assert len(values["findings"]) == 2
    lines = list(path_report.path_lines(values))
    assert lines[1].endswith(values["tests"][0]["seen"])
    assert lines.count("syn-option-removed") == 1
    assert lines[-1] == "127.0.0.1:7001: tests: 1, findings: 1, not tested: 0, 1.5 s"


def test_unconfirmed() -> None:
    """A finding that was seen once is neither ok nor a finding."""
    cut = Outcome(findings=(Finding("data-cut", "cut"),))
    (test,) = values_of(session_of(confirm("data", [cut, Outcome("fine"), Outcome("fine")])))["tests"]
    assert (test["result"], test["seen"]) == ("unconfirmed", "seen once, and not again: cut")


def test_interrupted() -> None:
    """All tests that have not ended are listed."""
    session = session_of(Result("served", Outcome("fine")))
    assert values_of(session)["interrupted"] is False
    session.interrupt()
    values = values_of(session, interrupted=True)
    assert values["interrupted"] is True
    assert [each["result"] for each in values["tests"]] == ["ok"] + ["untested"] * (session.count - 1)
    assert {each["seen"] for each in values["tests"][1:]} == {"interrupted"}


def test_error() -> None:
    """The reason of a failure is in JSON, too."""
    session = session_of()
    assert values_of(session)["error"] is None
    session.error = ClientError(ExitStatus.REFUSED)
    assert values_of(session)["error"].startswith("connection refused")


def test_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line is wrapped on a terminal."""
    monkeypatch.setattr("echotime.terminal.columns.terminal_width", lambda stream=None: 40)
    lines = list(path_report.path_lines(values_of(session_of())))
    assert all(len(each) <= 40 for each in lines[-2:])
    assert lines[-2].startswith("127.0.0.1:7001: tests: 0")
