"""BehavingLoopGuard: end loops of listeners whose answers are not those of the time service."""

from __future__ import annotations

from echotime.behave.udp.report import REPORT_START
from echotime.limits.loop_guard import LoopGuard
from echotime.wire import timestamp


class BehavingLoopGuard(LoopGuard):
    """Recognize the answers of all kinds: a time near now, its beginning, a time with zero bytes after it, a report.

    Otherwise two such listeners could answer each other without end, after one datagram with a forged source.
    """

    shortest_answer = 1
    """A shorter datagram is ordinary. 0 on a listener whose answers are empty."""

    def looks_like_response(self, datagram: bytes) -> bool:
        start, rest = datagram[: timestamp.SIZE], datagram[timestamp.SIZE :]
        if len(start) < self.shortest_answer or rest.strip(b"\0"):
            return datagram.startswith(REPORT_START)
        first, last = (int.from_bytes(start.ljust(timestamp.SIZE, each), "big") for each in (b"\0", b"\xff"))
        return self.is_near_now(first, last - first)
