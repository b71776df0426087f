"""Make docs/socket-options.md from the catalogue of socket options."""

from __future__ import annotations

from collections.abc import Iterator

from echotime.sockopt.assignment import EXPECTED
from echotime.sockopt.catalogue.index import CATALOGUE, CHAPTERS, Chapter
from echotime.sockopt.option import Option, Readable

_INTRODUCTION = f"""# Socket options

<!-- Made from echotime/sockopt/rows/ by `make docs`; edit those. -->

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

**Set without being asked for**, and overruled by asking: on TCP SO_REUSEADDR and TCP_NODELAY; on UDP SO_REUSEADDR off,
also on a socket that was passed in, and on a wildcard address IP_PKTINFO or IPV6_RECVPKTINFO on; on `[::]` IPV6_V6ONLY
off.

**No effect.** The kernel takes many options on sockets where nothing comes of them. Such a socket is not among those
that an option acts on in the tables below, and echotime does not set it there.
"""


def markdown() -> str:
    """Return the text of docs/socket-options.md."""
    return "\n".join([_INTRODUCTION, *map(_chapter, CHAPTERS)])


def _chapter(chapter: Chapter) -> str:
    lines = [f"## {chapter.title}", "", chapter.introduction, ""]
    lines += ["| option | meaning | value | acts on | set | on accept |", "|---|---|---|---|---|---|"]
    lines += map(_row, chapter.rows)
    for option in chapter.rows:
        if words := " ".join(filter(None, _words(option))):
            lines += ["", f"**`{option.name}`** {words}"]
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
