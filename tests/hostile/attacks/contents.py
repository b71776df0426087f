"""Attack with contents: bytes that corrupt a log, and years in which four bytes overflow."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from echotime.wire.escape import unescape
from tests.hostile.daemons import Daemons
from tests.hostile.figures import Figure, exactly
from tests.support.plain_clients import ask_time, one_shot

_BYTES = 256
_CLOCK = Path(__file__).parents[1] / "clock.tac"
_RFC868_WRAPS = 2_085_978_496
"""2036-02-07T06:28:16Z as Unix time, when the 32 bits of RFC 868 wrap."""
YEARS = (
    ("UNIX", 2**31 - 1, 2**31 - 1),
    ("UNIX", 2**31, 2**31),
    ("UNIX", 2**32 - 1, 2**32 - 1),
    ("UNIX", 2**32, 0),
    ("RFC868", _RFC868_WRAPS, 0),
)
"""Epoch, Unix time, and the expected value of the four bytes."""


def printable(daemons: Daemons) -> Iterator[Figure]:
    """Log injection: bytes that forge a line, move a cursor or ring a bell where the log is read."""
    with daemons.start("--log-message-rate", "1000") as daemon:
        for value in range(_BYTES):
            one_shot(daemon.address("TCP"), b"<%c>" % value)
        out = daemon.stop().out
    shown = [found[1] for line in out.splitlines() if (found := re.search(r"127\.0\.0\.1:\d+: (<.*>)$", line))]
    safe = sum(re.fullmatch("[ -~]*", each) is not None for each in shown)
    decoded = {unescape(each) for each in shown} & {b"<%c>" % value for value in range(_BYTES)}
    yield exactly("byte values that the log shows in printable ASCII, on one line", safe, _BYTES)
    yield exactly("and that can be decoded from it", len(decoded), _BYTES)


def years(daemons: Daemons) -> Iterator[Figure]:
    """Years 2036, 2038, 2106: a signed number, or an error where four bytes overflow."""
    right = 0
    with tempfile.NamedTemporaryFile("w") as clock:
        for epoch, now, expected in YEARS:
            clock.seek(0)
            clock.truncate()
            clock.write(str(now))
            clock.flush()
            names = ("env", f"ECHOTIME_CLOCK={clock.name}", f"ECHOTIME_EPOCH={epoch}")
            with daemons.run("-y", str(_CLOCK), prefix=names) as daemon:
                right += ask_time(daemon.address("UDP"), b"?") == expected.to_bytes(4, "big")
    yield exactly(f"right at the turns of {len(YEARS)} numbers", right, len(YEARS))
