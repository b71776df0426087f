"""What became of values that were tried: lines for a person, a record for programs."""

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
    """What was asked, and a line for each kind of socket."""
    yield _("{name}, asked {value}").format(
        name=assignment.option.name, value=assignment.option.value_type.show(assignment.value)
    )
    for each in results:
        parts = [_effect(assignment, each), each.remark]
        yield f"  {pad(_(each.role.value), _ROLE_WIDTH)}{': '.join(filter(None, parts))}"


def _effect(assignment: Assignment, result: TrialResult) -> str:
    if result.refused:
        return _("refused") if result.role in assignment.option.roles else _("not for this kind")
    return _("effective {value}").format(value=result.effective) if result.effective else ""


def startup_warnings(assignment: Assignment, results: Sequence[TrialResult]) -> Iterator[str]:
    """What the daemon would say of the value at every start."""
    for transport in BOTH:
        hazard = warning(assignment, transport)
        if hazard and any(each.role.transport == transport and not each.refused for each in results):
            yield _("warning: {transport}:{asked}: {danger}").format(
                transport=transport, asked=assignment, danger=hazard
            )


def failed(assignment: Assignment, results: Sequence[TrialResult]) -> bool:
    """Whether it was refused where the kernel otherwise takes it, or everywhere."""
    refused = [each for each in results if each.refused]
    return len(refused) == len(results) or (
        assignment.option.known and any(each.role in assignment.option.roles for each in refused)
    )


def trial_json(assignment: Assignment, results: Sequence[TrialResult]) -> dict[str, Any]:
    """The same for --json."""
    return {
        "name": assignment.option.name,
        "requested": assignment.option.value_type.show(assignment.value),
        "outcomes": {
            each.role.name.lower(): {
                "effective": each.effective or None,
                "note": each.remark or None,
                "refused": each.refused,
                "for_this_kind": each.role in assignment.option.roles,
                "differs": each.differs,
                "warning": warning(assignment, each.role.transport) or None,
            }
            for each in results
        },
    }
