"""What became of values that were tried: lines for a person, a record for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from echotime.command.columns import padded
from echotime.locale.language import gettext as _
from echotime.sockopt.apply import warning
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.option import BOTH
from echotime.sockopt.trial import Outcome

_PLACE = 14


def lines(asked: Assignment, found: Sequence[Outcome]) -> Iterator[str]:
    """What was asked, and a line for each kind of socket."""
    yield _("{name}, asked {value}").format(name=asked.option.name, value=asked.option.form.show(asked.value))
    for each in found:
        said = [_said(asked, each), each.remark]
        yield f"  {padded(_(each.place.value), _PLACE)}{': '.join(filter(None, said))}"


def _said(asked: Assignment, each: Outcome) -> str:
    if each.refused:
        return _("refused") if each.place in asked.option.places else _("not for this kind")
    return _("effective {value}").format(value=each.effective) if each.effective else ""


def warnings(asked: Assignment, found: Sequence[Outcome]) -> Iterator[str]:
    """What the daemon would say of the value at every start."""
    for transport in BOTH:
        danger = warning(asked, transport)
        if danger and any(each.place.transport == transport and not each.refused for each in found):
            yield _("warning: {transport}:{asked}: {danger}").format(transport=transport, asked=asked, danger=danger)


def failed(asked: Assignment, found: Sequence[Outcome]) -> bool:
    """Whether it was refused where the kernel otherwise takes it, or everywhere."""
    refused = [each for each in found if each.refused]
    return len(refused) == len(found) or (
        asked.option.known and any(each.place in asked.option.places for each in refused)
    )


def record(asked: Assignment, found: Sequence[Outcome]) -> dict[str, Any]:
    """The same for --json."""
    return {
        "name": asked.option.name,
        "asked": asked.option.form.show(asked.value),
        "outcomes": {
            each.place.name.lower(): {
                "effective": each.effective or None,
                "remark": each.remark or None,
                "refused": each.refused,
                "for_this_kind": each.place in asked.option.places,
                "differs": each.differs,
                "warning": warning(asked, each.place.transport) or None,
            }
            for each in found
        },
    }
