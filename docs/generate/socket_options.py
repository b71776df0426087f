"""Make docs/socket-options.md and the pages below docs/socket-options/ from the catalogue of socket options."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from echotime.sockopt.assignment import EXPECTED
from echotime.sockopt.catalogue.index import CATALOGUE, CHAPTERS, Chapter
from echotime.sockopt.option import Option, Readable

_COMMENT = "<!-- Made from echotime/sockopt/catalogue/ by `make docs`; edit those files. -->"
_INTRODUCTION = f"""# Socket options

{_COMMENT}

This page describes {len(CATALOGUE)} socket options by name.
{sum(option.settable for option in CATALOGUE)} of them can be set with `--sockopt`,
on the daemon's listening sockets and on the sockets of the tools:

    {EXPECTED}

Without `tcp:` or `udp:` an option is set on every socket on which it has an effect. At start the
daemon logs the requested value of each option, and the value that `getsockopt` returns:

    SO_RCVBUF requested 65536, effective 131072: the kernel doubles it, between a minimum
    size and twice net.core.rmem_max

Three commands belong to this page:

- `--sockopt help` lists the names.
- `echotime sockopts` shows the current values on this host, and with `--set` how the kernel treats
  a value.
- `echotime explain NAME` demonstrates an option with real sockets.

An option that is not listed here is set by number, as in `--sockopt 1:11=1` or `SOL_SOCKET:11=1`
(SO_NO_CHECK). Its value is a number, `on`, `off`, a size, or bytes as in `hex:01000000`. Levels and
numbers are those of Linux on x86 and arm.

**When options are set.** The daemon sets options before bind, because an accepted connection
inherits the options of its listener. Options that Linux does not inherit are set again on each
connection. On a socket that was passed in already bound, options that must be set before bind are
not set, and the log says so.

**Defaults of the daemon.** `--sockopt` overrides them.

- TCP: SO_REUSEADDR and TCP_NODELAY on.
- UDP: SO_REUSEADDR off, also on a socket that was passed in. On a wildcard address IP_PKTINFO or
  IPV6_RECVPKTINFO on.
- `[::]`: IPV6_V6ONLY off.

**No effect.** The kernel accepts many options on sockets on which they have no effect. The column
"acts on" names only the sockets on which an option has an effect, and echotime sets it only there.
"""


def pages() -> dict[str, str]:
    """Return the overview and a page for each chapter as Markdown, by path below docs/."""
    return {
        "socket-options.md": "\n".join([_INTRODUCTION, *map(_overview, CHAPTERS)]),
        **{f"socket-options/{_name(chapter)}.md": _chapter(chapter) for chapter in CHAPTERS},
    }


def _name(chapter: Chapter) -> str:
    return "-".join(re.findall(r"\w+", chapter.title.lower()))


def _overview(chapter: Chapter) -> str:
    lines = [f"## {chapter.title}", "", _wrapped(chapter.introduction), ""]
    lines += [f"[Values, uses and caveats](socket-options/{_name(chapter)}.md)", ""]
    lines += ["| option | meaning |", "|---|---|"]
    lines += [f"| `{option.name}` | {option.meaning} |" for option in chapter.rows]
    return "\n".join([*lines, ""])


def _chapter(chapter: Chapter) -> str:
    lines = [f"# Socket options: {chapter.title}", "", _COMMENT, "", _wrapped(chapter.introduction), ""]
    lines += ["| option | meaning | value | acts on | set | on accept |", "|---|---|---|---|---|---|"]
    lines += map(_row, chapter.rows)
    for option in chapter.rows:
        if text := " ".join(_sentences(option)):
            lines += ["", _wrapped(f"**`{option.name}`** {text}")]
    return "\n".join([*lines, ""])


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False)


def _row(option: Option) -> str:
    cells = [
        f"`{option.name}` {option.level} {option.number}",
        option.meaning,
        option.value_type.expected if option.settable else "read-only",
        ", ".join(option.transports or {role.transport: None for role in option.roles}).upper(),
        option.set_deadline.value if option.settable else "",
        option.on_accept.value if option.settable and "tcp" in option.transports else "",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _sentences(option: Option) -> Iterator[str]:
    yield from filter(None, (option.use, option.caveat))
    if option.read_back_note:
        yield f"Read-back value: {option.read_back_note.reason}."
    if option.privilege:
        yield f"Needs {option.privilege.required}."
    if option.readable is not Readable.YES:
        yield f"It {option.readable.value}."
    if option.hazard:
        yield f"Warning at start ({'/'.join(option.hazard.transports)}): {option.hazard.warning}."
    if names := ", ".join(f"{program} `{name}`" for program, name in option.aliases.names()):
        yield f"Other names: {names}."
