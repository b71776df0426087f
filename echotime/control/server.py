"""The daemon's end of the control socket: an AMP connection for each operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

import echotime
from echotime.control import commands
from echotime.control.backend import ControlBackend
from echotime.control.commands import PAGE_SIZE, CommandError, PushedEvent, Rows
from echotime.control.desk import ReplyDesk
from echotime.control.peer import PeerPolicy, read_peer
from echotime.control.sequential_amp import SequentialAMP
from echotime.control.subscriber import EventSubscriber, unsent_bytes
from echotime.limits.log_rate import LogRateLimiter
from echotime.logger import Logger
from echotime.operators.reply_queue import ReplyQueue
from echotime.services.traffic import TrafficLog
from echotime.wire.escape import sanitize
from echotime.wire.hostport import HostPort

_MAX_ROWS = 300
_MAX_LOG_LINES = 10
"""Log lines per second that clients of the control socket can cause with refusals and faults."""


class ControlProtocol(SequentialAMP):
    """Serve one operator of the control socket."""

    factory: ControlFactory
    _log = Logger()

    def __init__(self) -> None:
        super().__init__()
        self._subscriber: EventSubscriber | None = None

    @property
    def clock(self) -> IReactorTime:  # type: ignore[override]  # the factory's
        return self.factory.clock

    @cached_property
    def _name(self) -> str:
        """Return the name of the peer, which takes a look-up in passwd(5)."""
        return str(self._peer)

    def makeConnection(self, transport: Any) -> None:
        """Serve the peer, or tell it why not."""
        self._peer = read_peer(transport.getHandle())
        super().makeConnection(transport)
        reason = self.factory.policy.refusal(self._peer, len(self.factory.connections))
        if not reason:
            self.factory.connections.add(self)
            return
        self._log_limited("refused: {name}: {reason}", reason=reason)
        with suppress(OSError):
            transport.getHandle().send(commands.Refused.encode(reason))
        # at once, because the descriptors of many refused connections would add up until the next iteration
        transport.connectionLost(Failure(ConnectionDone()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.connections.discard(self)
        self._set_watching(False)
        super().connectionLost(reason)

    def dispatchCommand(self, box: Any) -> Any:
        """Refuse a command with invalid arguments instead of closing the connection."""
        return super().dispatchCommand(box).addErrback(self._report_bad_arguments)

    def _report_bad_arguments(self, failure: Failure) -> Any:
        if failure.check(amp.RemoteAmpError):
            return failure
        self._log_limited("invalid arguments from {name}: {error}", error=repr(failure.value))
        raise amp.RemoteAmpError(b"REFUSED", "invalid arguments")

    def _log_limited(self, text: str, **values: str) -> None:
        if self.factory.log_limiter.allows():
            self._log.info(f"control: {text}", name=self._name, **values)

    def abort(self, error: BaseException | None) -> None:
        """Log the error and close the connection."""
        self._log_limited("connection of {name} closed: {error}", error=repr(error))
        super().abort(error)

    def pauseProducing(self) -> None:
        """Run no more commands and push no more events, because the operator does not read."""
        if self._subscriber is not None:
            self._subscriber.pause()
        super().pauseProducing()

    def resumeProducing(self) -> None:
        if self._subscriber is not None:
            self._subscriber.resume()
        super().resumeProducing()

    @commands.Hello.responder
    def hello(self, line_ends: bytes | None = None) -> dict[str, Any]:
        return {"version": echotime.__version__, "encoding": self.factory.encoding, "name": self._name}

    @commands.Status.responder
    def status(self) -> Deferred[dict[str, Any]]:
        return self.factory.backend.health().addCallback(self._status)

    def _status(self, health: Rows) -> dict[str, Any]:
        status = self.factory.backend.status()
        http = self.factory.http
        return {
            **status,
            "listening": status["listening"] + [f"HTTP {each}" for each in (http.addresses if http else ())],
            **self.factory.desk.status(),
            "version": echotime.__version__,
            "health": health[:_MAX_ROWS],
        }

    @commands.Connections.responder
    def connections(self, after: int) -> dict[str, Any]:
        rows, more = self.factory.backend.connections(after)
        return {"rows": rows, "more": more}

    @commands.Questions.responder
    def questions(self, after: int) -> dict[str, Any]:
        rows, more = self.factory.desk.questions(after)
        return {"rows": rows, "more": more}

    @commands.Answer.responder
    def answer(self, number: int, reply: bytes) -> dict[str, Any]:
        return {"peer": self.factory.desk.answer(number, reply, self._name)}

    @commands.AnswerNext.responder
    def answer_next(self, reply: bytes) -> dict[str, Any]:
        for question in self.factory.desk.pending[:1]:
            return {
                "number": question.number,
                "peer": self.factory.desk.answer(question.number, reply, self._name),
            }
        raise CommandError("no question is pending")

    @commands.AnswerAll.responder
    def answer_all(self, reply: bytes) -> dict[str, Any]:
        count = 0
        for question in self.factory.desk.pending:
            with suppress(CommandError):  # a reply may have closed the connection of a later question
                self.factory.desk.answer(question.number, reply, self._name)
                count += 1
        return {"count": count}

    @commands.Watch.responder
    def watch(self, on: bool) -> dict[str, Any]:
        self._set_watching(on)
        return {}

    @commands.WatchEvents.responder
    def watch_events(self) -> dict[str, Any]:
        self._set_watching(True, as_operator=False)
        return {}

    def _set_watching(self, on: bool, *, as_operator: bool = True) -> None:
        subscriber = self._subscriber
        if on and subscriber is None:
            self._subscriber = EventSubscriber(self, self.factory.clock)
            self._subscriber.start(self.factory.traffic, self.factory.desk.queue, as_operator=as_operator)
        elif not on and subscriber is not None:
            self._subscriber = None
            subscriber.stop()

    def send_event(self, event: type[PushedEvent], **fields: Any) -> None:
        self.callRemote(event, **fields)

    def unsent_bytes(self) -> int:
        return unsent_bytes(self.transport)

    @commands.Sockopts.responder
    def sockopts(self, target: str, names: list[str], after: int) -> dict[str, Any]:
        return _page(self.factory.backend.sockopts(target, names), after)

    @commands.SetOption.responder
    def set_option(self, target: str, assignment: str) -> dict[str, Any]:
        rows = self.factory.backend.set_option(target, assignment)
        self._log.info("control: {name} set {target} {what}", name=self._name, target=target, what=sanitize(assignment))
        return _single_page(rows)

    @commands.Backlog.responder
    def backlog(self, limit: int | None = None) -> dict[str, Any]:
        return _single_page(self.factory.backend.backlog(limit))

    @commands.Behave.responder
    def behave(self, behaviors: list[str]) -> dict[str, Any]:
        rows = self.factory.change_behaviors(behaviors)
        for each in behaviors:
            self._log.info("control: {name} set behavior {what}", name=self._name, what=sanitize(each))
        return _single_page(rows)

    @commands.CloseConnection.responder
    def close_connection(self, number: int, orderly: bool) -> dict[str, Any]:
        return {"peer": self.factory.backend.close_connection(number, orderly)}

    @commands.Counters.responder
    def counters(self) -> dict[str, Any]:
        return _single_page([*self.factory.backend.counters(), *self.factory.desk.counters()])

    @commands.Token.responder
    def token(self) -> dict[str, Any]:
        if self.factory.http is None:
            raise CommandError("HTTP is not served; expected a daemon with --http")
        return self.factory.http.describe_access()


class HTTPAccess(Protocol):
    """Say where HTTP is served, and how it is reached."""

    @property
    def addresses(self) -> Sequence[HostPort | str]:
        """Return the address of each listener, or the path of its Unix socket."""

    def describe_access(self) -> dict[str, Any]:
        """Return the response to commands.Token."""


class ControlFactory(ServerFactory):
    """Make a ControlProtocol for each operator. `policy` decides which of them are served."""

    noisy = False
    _log = Logger()

    def __init__(
        self,
        queue: ReplyQueue,
        backend: ControlBackend,
        traffic: TrafficLog,
        clock: IReactorTime,
        policy: PeerPolicy,
        encoding: str = "utf-8",
    ) -> None:
        self.desk = ReplyDesk(queue, clock)
        self.backend = backend
        self.traffic = traffic
        self.clock = clock
        self.policy = policy
        self.encoding = encoding
        self.connections: set[ControlProtocol] = set()
        """The connections of operators that are served."""
        self.http: HTTPAccess | None = None
        """The listeners of HTTP, and how they are reached. None without --http."""
        self.change_behaviors: Callable[[list[str]], Rows] = lambda texts: []
        """Applies the texts of commands.Behave, and returns the rows of its response."""
        self.log_limiter = LogRateLimiter(_MAX_LOG_LINES, clock, self._report_suppressed)

    def buildProtocol(self, addr: Any) -> ControlProtocol:  # type: ignore[override]  # Twisted binds it to `protocol`
        protocol = ControlProtocol()
        protocol.factory = self
        return protocol

    def _report_suppressed(self, count: int) -> None:
        self._log.info("control: lines left out in the last second: {count}", count=count)


def _page(rows: Rows, after: int) -> dict[str, Any]:
    return {"rows": rows[after : after + PAGE_SIZE], "more": len(rows) > after + PAGE_SIZE}


def _single_page(rows: Rows) -> dict[str, Any]:
    """Return a list that is short enough for one page. A row is well below 200 bytes."""
    return {"rows": rows[:_MAX_ROWS], "more": False}
