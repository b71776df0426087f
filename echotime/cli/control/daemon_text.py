"""Translate the short texts in what a daemon sends. It sends English, whatever the language of its operators is."""

from __future__ import annotations

import re

from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_TEXTS = (
    # why a connection ended
    *(N_("client"), N_("server"), N_("operator"), N_("client's reset"), N_("server's reset"), N_("operator's reset")),
    *(N_("idle timeout"), N_("half-closed timeout"), N_("session timeout"), N_("eviction")),
    *(N_("reset at the {reason}"), N_("error: {reason}")),
    # how a question ended
    *(N_("answered by {name}"), N_("deadline expired"), N_("connection ended"), N_("the last operator left")),
    *(N_("no operator is present"), N_("the daemon stopped"), N_("no question is pending")),
    # health and clock
    *(N_("no answer within {seconds} s"), N_("wrong answer"), N_("another socket answered"), N_("the port is closed")),
    *(N_("the socket does not listen any more"), N_("the socket was shut down"), N_("not synchronized")),
    *(N_("synchronized, maximum error {seconds} s"), N_("unknown: {reason}")),
    # notes on socket options
    *(N_("{note}; warning: {hazard}"), N_("warning: {hazard}")),
)
_PATTERNS = [
    (re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(template))), template)
    for template in _TEXTS
    if "{" in template
]


def translate(text: str) -> str:
    """Return a daemon's text in the user's language, or unchanged if it is unknown."""
    translated = _(text) if text else ""
    if translated != text:
        return translated
    for pattern, template in _PATTERNS:
        if found := pattern.fullmatch(text):
            return _(template).format(**{name: translate(part) for name, part in found.groupdict().items()})
    return text
