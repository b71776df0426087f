"""Make the tables of docs/behave.md from the kinds of behaviors in echotime/behave/kinds.py."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping

from echotime.behave.kinds import TCP_KINDS, UDP_KINDS
from echotime.behave.spec import Kind, Parameter, parameters_of

_COMMON = ("id", "probability", "seed")
"""Parameters that the page describes once."""


def insert(document: str) -> str:
    """Return a document with the tables of now between their markers."""
    for name, kinds in (("tcp", TCP_KINDS), ("udp", UDP_KINDS)):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _begin, rest = document.partition(begin)
        _old, _end, after = rest.partition(end)
        document = f"{before}{begin}\n{chr(10).join(_lines(kinds))}\n\n{end}{after}"
    return document


def _lines(kinds: Mapping[str, type[Kind]]) -> Iterator[str]:
    yield "| kind | what it does | parameters |"
    yield "|---|---|---|"
    for name, kind in kinds.items():
        text = " ".join((inspect.getdoc(kind) or "").split())
        parameters = parameters_of(kind)
        cells = [_parameter(each) for each in parameters.values() if each.name not in _COMMON]
        draws = ["`probability`, `seed`"] * ("probability" in parameters)
        yield f"| `{name}` | {re.sub('``', '`', text)} | {'<br>'.join([*cells, *draws])} |"


def _parameter(parameter: Parameter[object]) -> str:
    return f"`{parameter.name}`: {parameter.help.removesuffix('.')} [{parameter.shown_default}]"
