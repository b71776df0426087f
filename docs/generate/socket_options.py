"""Make docs/socket-options.md from the catalogue of socket options."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from echotime.sockopt.assignment import EXPECTED
from echotime.sockopt.catalogue.index import CATALOGUE, CHAPTERS, Chapter
from echotime.sockopt.option import Option, Readable

_INTRODUCTION = f"""# Socket options

<!-- Made from echotime/sockopt/catalogue/ by `make docs`; edit those. -->

{len(CATALOGUE)} options are known by name, and {sum(option.settable for option in CATALOGUE)} of them can be set:
by `--sockopt`, on the daemon's listening sockets and on the sockets of the tools.

    {EXPECTED}

Without `tcp:` or `udp:` an option goes wherever it can have an effect. After start the daemon's log says for each what
was asked and what `getsockopt` reads back:

    SO_RCVBUF asked 65536, effective 131072: the kernel doubles it, between a smallest size and twice net.core.rmem_max

Three commands go with this page: `--sockopt help` lists the names; `echotime sockopts` shows what each option is here
and now, and with `--set` what the kernel makes of a value; `echotime explain NAME` shows on real sockets what it does.

An option without a name here is set by its numbers, as in `--sockopt 1:11=1` or `SOL_SOCKET:11=1` (SO_NO_CHECK); its
value is a number, `on`, `off`, a size, or bytes as `hex:01000000`. Levels and numbers are Linux's on x86 and arm.

**When.** The daemon sets options before bind, because a connection is the kernel's copy of its listener; what Linux
leaves out of the copy is set again on each connection. On a socket that was passed in already bound, what must be set
before bind is not set, and the report says so.

**Defaults.** Unless `--sockopt` sets them otherwise, echotime sets SO_REUSEADDR and TCP_NODELAY on TCP, and turns
SO_REUSEADDR off on UDP, also on a socket that was passed in. On a wildcard address it turns IP_PKTINFO or
IPV6_RECVPKTINFO on, and on `[::]` it turns IPV6_V6ONLY off.

**No effect.** The kernel accepts many options on sockets where they have no effect. The tables below do not list such a
socket under "acts on", and echotime does not set the option there.
"""


def markdown() -> str:
    """Return the text of docs/socket-options.md."""
    return "\n".join(["\n\n".join(map(_wrapped, _INTRODUCTION.split("\n\n"))), *map(_chapter, CHAPTERS)])


def _wrapped(paragraph: str) -> str:
    """Return a paragraph of prose in lines of at most 100 columns; other lines are left as they are."""
    if paragraph.startswith(("#", "<", "    ")):
        return paragraph
    end = "\n" if paragraph.endswith("\n") else ""
    return textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False) + end


def _chapter(chapter: Chapter) -> str:
    lines = [f"## {chapter.title}", "", _wrapped(chapter.introduction), ""]
    lines += ["| option | meaning | value | acts on | set | on accept |", "|---|---|---|---|---|---|"]
    lines += map(_row, chapter.rows)
    for option in chapter.rows:
        if words := " ".join(filter(None, _words(option))):
            lines += ["", _wrapped(f"**`{option.name}`** {words}")]
    return "\n".join([*lines, ""])


def _row(option: Option) -> str:
    cells = [
        f"`{option.name}` {option.level} {option.number}",
        option.meaning,
        option.value_type.expected if option.settable else "read-only",
        ", ".join(option.transports or {place.transport: None for place in option.roles}).upper(),
        option.set_deadline.value if option.settable else "",
        option.on_accept.value if option.settable and "tcp" in option.transports else "",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _words(option: Option) -> Iterator[str]:
    yield option.use
    yield option.caveat
    if option.read_back_note:
        yield f"Reads back differently: {option.read_back_note.reason}."
    if option.privilege:
        yield f"Needs {option.privilege.required}."
    if option.readable is not Readable.YES:
        yield f"It {option.readable.value}."
    if option.hazard:
        yield f"Warned of at start ({'/'.join(option.hazard.transports)}): {option.hazard.warning}."
    if names := ", ".join(f"{who} `{name}`" for who, name in option.aliases.names()):
        yield f"Elsewhere: {names}."
