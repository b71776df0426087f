"""Report the results of trying a value on new sockets, as lines of text or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from echotime.cli.output.columns import pad
from echotime.i18n.language import gettext as _
from echotime.sockopt.apply import warning
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.option import BOTH
from echotime.sockopt.trial import TrialResult

_ROLE_WIDTH = 14


def trial_lines(assignment: Assignment, results: Sequence[TrialResult]) -> Iterator[str]:
    """Yield the requested value, and a line for each kind of socket."""
    yield _("{name}, requested {value}").format(
        name=assignment.option.name, value=assignment.option.value_type.show(assignment.value)
    )
    for each in results:
        parts = [_effect(assignment, each), each.remark]
        yield f"  {pad(_(each.role.value), _ROLE_WIDTH)}{': '.join(filter(None, parts))}"


def _effect(assignment: Assignment, result: TrialResult) -> str:
    if result.refused:
        return _("refused") if result.role in assignment.option.roles else _("not applicable")
    return _("effective {value}").format(value=result.effective) if result.effective else ""


def startup_warnings(assignment: Assignment, results: Sequence[TrialResult]) -> Iterator[str]:
    """Yield the warnings that the daemon would log for the value at every start."""
    for transport in BOTH:
        hazard = warning(assignment, transport)
        if hazard and any(each.role.transport == transport and not each.refused for each in results):
            yield _("warning: {transport}:{assignment}: {hazard}").format(
                transport=transport, assignment=assignment, hazard=hazard
            )


def failed(assignment: Assignment, results: Sequence[TrialResult]) -> bool:
    """Return True if the value was refused by all sockets, or by a kind that accepts the option."""
    refused = [each for each in results if each.refused]
    return len(refused) == len(results) or (
        assignment.option.known and any(each.role in assignment.option.roles for each in refused)
    )


def trial_json(assignment: Assignment, results: Sequence[TrialResult]) -> dict[str, Any]:
    """Return the same results for --json."""
    return {
        "name": assignment.option.name,
        "asked": assignment.option.value_type.show(assignment.value),
        "outcomes": {
            each.role.name.lower(): {
                "effective": each.effective or None,
                "remark": each.remark or None,
                "refused": each.refused,
                "for_this_kind": each.role in assignment.option.roles,
                "differs": each.differs,
                "warning": warning(assignment, each.role.transport) or None,
            }
            for each in results
        },
    }
