"""Serve /metrics for Prometheus, and for all else that reads its text format or OpenMetrics."""

from __future__ import annotations

from twisted.web.http import Request
from twisted.web.resource import Resource

from echotime.web.collector import DaemonCollector
from echotime.web.state import WebState
from echotime.wire.exposition import choose_format, format_metrics


class MetricsResource(Resource):
    """Answer with the metrics of this moment, in the format that the Accept header asks for."""

    isLeaf = True

    def __init__(self, state: WebState) -> None:
        super().__init__()
        self._collector = DaemonCollector(state)

    def render_GET(self, request: Request) -> bytes:
        """Return the metrics as text."""
        how = choose_format(request.getHeader("Accept") or "")
        request.setHeader(b"Content-Type", how.value.encode())
        return format_metrics(self._collector.collect(), how).encode()
