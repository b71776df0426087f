"""Format what `echotime path` found, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from echotime.cli.output.streams import describe_error
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.meanings import MEANINGS
from echotime.client.path.session import PathSession, Result
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_
from echotime.terminal.columns import Heading, Table, fit, terminal_width, wrap
from echotime.wire.hostport import HostPort

_WIDTHS = (17, 12, 90)
_INDENT = "  "
_STATES = {"ok": N_("ok"), "finding": N_("finding"), "untested": N_("not tested"), "unconfirmed": N_("unconfirmed")}


def path_json(
    server: HostPort, address: ResolvedAddress, session: PathSession, seconds: float, *, interrupted: bool = False
) -> dict[str, Any]:
    """Return the fields of --json. Texts are in the user's language; `test`, `result` and `id` are not."""
    return {
        "server": str(server),
        "address": str(address.hostport),
        "version": session.far_end.version if session.far_end is not None else None,
        "seconds": seconds,
        "interrupted": interrupted,
        "error": describe_error(session.error) if session.error is not None else None,
        "tests": [_test_json(each) for each in session.in_order()],
        "findings": [finding for each in session.in_order() for finding in _findings_json(each)],
    }


def _test_json(result: Result) -> dict[str, Any]:
    outcome = result.outcome
    state, seen = "ok", outcome.seen
    if outcome.findings:
        state, seen = "finding", _("; ").join(dict.fromkeys(each.seen for each in outcome.findings))
    elif outcome.untested:
        state, seen = "untested", outcome.untested
    elif outcome.unconfirmed:
        state, seen = "unconfirmed", outcome.unconfirmed
    return {"test": result.name, "result": state, "seen": seen, "runs": result.runs}


def _findings_json(result: Result) -> Iterator[dict[str, Any]]:
    for finding in result.outcome.findings:
        meaning = MEANINGS[finding.id]
        yield {
            "id": finding.id,
            "test": result.name,
            "seen": finding.seen,
            "means": _(meaning.means),
            "cause": _(meaning.cause),
            "times": result.times[finding.id],
            "runs": result.runs,
            "values": dict(finding.values),
        }


def path_lines(values: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the table, and of the findings below it, for the fields of --json."""
    table = Table(_WIDTHS, terminal_width())
    yield from table.heading((_("TEST"), _("RESULT"), _("SEEN")))
    for test in values["tests"]:
        yield from table.row((_(test["test"]), _(_STATES[test["result"]]), test["seen"]))
    findings = {each["id"]: each for each in values["findings"]}
    for finding in findings.values():
        yield ""
        yield Heading(finding["id"])
        seen = _("; ").join(each["seen"] for each in values["findings"] if each["id"] == finding["id"])
        for text, value in (
            (_("seen: {text}"), seen),
            (_("means: {text}"), finding["means"]),
            (_("usual cause: {text}"), finding["cause"]),
        ):
            yield from wrap(text.format(text=value), _INDENT, _INDENT * 2)
    yield ""
    untested = sum(each["result"] == "untested" for each in values["tests"])
    summary = _("{address}: tests: {tests}, findings: {findings}, not tested: {untested}, {seconds:.1f} s").format(
        address=values["address"],
        tests=len(values["tests"]),
        findings=len(findings),
        untested=untested,
        seconds=values["seconds"],
    )
    yield from fit(summary)
