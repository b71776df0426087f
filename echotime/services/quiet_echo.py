"""QuietEchoFactory: serve health checkers (--quiet) with EchoProtocol, without log lines and questions."""

from __future__ import annotations

from echotime.services.echo_factory import EchoFactory
from echotime.services.replies import IReplySource
from echotime.services.traffic import LoggedConnection, SilentTraffic
from echotime.wire.template import Text


class QuietEchoFactory(EchoFactory):
    """Serve connections that `factory` has admitted and numbered, and count them as quiet only.

    They have no reply source, so each message gets the constant reply at once. Limits, timeouts and drain of `factory`
    apply to them.
    """

    def __init__(self, factory: EchoFactory) -> None:
        super().__init__(_QuietTraffic(factory), admission=factory.admission)
        self._factory = factory
        self.connections = factory.connections

    def set_reply(self, acknowledgement: Text, reply_source: IReplySource | None = None, reply: Text = b"") -> None:
        super().set_reply(acknowledgement, reply_source, reply)
        self.large_reads.allow(False)  # health checks do not stream, and its bound on memory is for one factory

    def notify_if_empty(self) -> None:
        self._factory.notify_if_empty()


class _QuietTraffic(SilentTraffic):
    """Count quiet connections, and nothing else."""

    def __init__(self, factory: EchoFactory) -> None:
        super().__init__(factory.traffic.clock)
        self.counters = factory.traffic.counters

    def connection_closed(self, connection: LoggedConnection, ended_by: str) -> None:
        self.counters.quiet_connections += 1
