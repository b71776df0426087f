"""Answer /livez and /readyz from the last known state of the daemon. A request never starts a probe.

The paths, the status and `?verbose` are those of Kubernetes' API server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.web.http import OK, SERVICE_UNAVAILABLE
from twisted.web.resource import Resource
from twisted.web.server import Request

from echotime.web.responses import text_response
from echotime.web.state import WebState

Check = Callable[[WebState], str]
"""Returns why a check fails, or an empty text."""


def _started(state: WebState) -> str:
    return "starting: the first health check has not ended" if state.health.checked_at is None else ""


def _not_stopping(state: WebState) -> str:
    if (seconds := state.readiness.seconds_left) is None:
        return ""
    return f"stopping: the ports are closed in {seconds:.0f} s" if seconds else "stopping: the ports are closed"


def _not_hung(state: WebState) -> str:
    return "; ".join(map(str, state.health.hung))


LIVE: dict[str, Check] = {"listeners": _not_hung}
READY: dict[str, Check] = {"started": _started, "listeners": _not_hung, "accepting": _not_stopping}


class HealthPage(Resource):
    """Answer 200 if all checks pass, else 503 with the reasons. With `?verbose`, list every check."""

    isLeaf = True

    def __init__(self, state: WebState, checks: dict[str, Check]) -> None:
        super().__init__()
        self._state = state
        self._checks = checks

    def render_GET(self, request: Request) -> bytes:
        reasons = {name: check(self._state) for name, check in self._checks.items()}
        failed = any(reasons.values())
        lines = list(self._lines(reasons, verbose=_is_verbose(request)))
        return text_response(request, SERVICE_UNAVAILABLE if failed else OK, *lines)

    def _lines(self, reasons: dict[str, str], *, verbose: bool) -> Iterator[str]:
        for name, reason in reasons.items():
            if reason:
                yield f"[-]{name} failed: {reason}"
            elif verbose:
                yield f"[+]{name} ok"
        if verbose:
            yield from map(str, self._state.health.results)
        yield "failed" if any(reasons.values()) else "ok"


def _is_verbose(request: Request) -> bool:
    """Return True for `?verbose`, with a value or without. Twisted's `args` has no name without a value."""
    query = request.uri.partition(b"?")[2]
    return any(each.partition(b"=")[0] == b"verbose" for each in query.split(b"&"))
