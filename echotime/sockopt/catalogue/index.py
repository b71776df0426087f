"""Collect the rows of all chapters, and index them by name and by number.

The catalogue drives the command line, the checks, the time at which an option is set, the start report, the tools
`echotime sockopts` and `echotime explain`, and docs/socket-options.md.
"""

from __future__ import annotations

from typing import NamedTuple

from echotime.sockopt.catalogue import (
    accepting,
    addresses,
    ancillary_data,
    buffers,
    ip_header,
    keepalive_and_close,
    read_only,
    routing,
    sending,
)
from echotime.sockopt.option import Option


class Chapter(NamedTuple):
    """Group the options of one purpose."""

    title: str
    introduction: str
    rows: tuple[Option, ...]


CHAPTERS = tuple(
    Chapter(module.TITLE, module.INTRODUCTION, module.ROWS)
    for module in (
        addresses,
        accepting,
        keepalive_and_close,
        buffers,
        sending,
        ip_header,
        routing,
        ancillary_data,
        read_only,
    )
)

CATALOGUE: tuple[Option, ...] = tuple(option for chapter in CHAPTERS for option in chapter.rows)
"""Every option known by name, in the order in which options are set."""

BY_NAME = {option.name: option for option in CATALOGUE}
BY_KEY = {(option.level_number, option.number): option for option in CATALOGUE}
