"""Format the daemon's --help: the options in their groups, with metavars and defaults."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from echotime.config.option_spec import OptionSpec
from echotime.errors import twistd_name
from echotime.wire.hostport import DEFAULT_PORT

_DESCRIPTION = (
    "Echo over TCP, with an acknowledgement and a reply after each echo, and serve the time over UDP. "
    "With neither --tcp nor --udp the daemon serves the sockets inherited from systemd, or both services on port "
    f"{DEFAULT_PORT} of every IPv4 address."
)
_NOTES = (
    "TIME is in seconds, or has a unit, as in 500ms, 10s, 2m or 1h. Options of twistd, such as -n (stay in the "
    "foreground) and --logfile FILE, are given before the word echotime. {twistd} --help lists them. "
    "ECHOTIME_OPTIONS, a variable of the environment, may have further options, quoted as in a shell."
)
_EXAMPLE = "Example: {twistd} -n echotime --tcp 12345 --udp '[::]:12345' --sockopt tcp:SO_KEEPALIVE=on"
_INDENT = 28
"""Column of the descriptions."""
_MAX_WIDTH = 100
"""Longer lines are hard to read."""


def format_help(groups: Mapping[str, Sequence[OptionSpec]], width: int | None = None) -> str:
    """Return the help, wrapped at a number of columns. None for those of the terminal."""
    columns = min(width or shutil.get_terminal_size().columns, _MAX_WIDTH)
    notes, example = (text.format(twistd=twistd_name()) for text in (_NOTES, _EXAMPLE))
    return "\n".join(
        [_fill(_DESCRIPTION, columns), "", *_group_lines(groups, columns), _fill(notes, columns), "", example]
    )


def _group_lines(groups: Mapping[str, Sequence[OptionSpec]], columns: int) -> Iterator[str]:
    for title, options in groups.items():
        yield f"{title}:"
        for each in options:
            form, blanks = f"  {each.form}", " " * _INDENT
            if len(form) > _INDENT - 2:
                yield form
                form = ""
            yield _fill(each.usage, columns, initial_indent=form.ljust(_INDENT), subsequent_indent=blanks)
        yield ""


def _fill(text: str, columns: int, initial_indent: str = "", subsequent_indent: str = "") -> str:
    return textwrap.fill(
        text,
        columns,
        initial_indent=initial_indent,
        subsequent_indent=subsequent_indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
