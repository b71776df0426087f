"""The daemon's end of the control socket: one protocol an operator, who asks, answers and may watch."""

from __future__ import annotations

import pwd
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure

import echotime
from echotime.desk import commands
from echotime.desk.commands import PAGE, SENT_BYTES, Refused
from echotime.desk.overview import Rows
from echotime.desk.questions import Desk, Settled
from echotime.desk.watcher import Watcher
from echotime.servers.traffic import Traffic

_UNSENT, _UNSENT_EACH = 2**20, 2**10
"""Bytes that may wait for an operator to read them, and those for each question that may wait."""
_ROWS = 300
_KEYS = 32
"""The most keys of a command; each value is at most 65535 bytes."""
_CREDENTIALS = struct.Struct("=iII")


class ControlProtocol(amp.AMP):
    """One operator. What is not understood ends the connection, and nothing else."""

    factory: ControlFactory
    transport: Any
    _log = Logger()

    def __init__(self) -> None:
        super().__init__()
        self._watcher: Watcher | None = None

    def makeConnection(self, transport: Any) -> None:
        """Let in whoever may come; without the line that AMP logs for each."""
        pid, uid, gid = _CREDENTIALS.unpack(
            transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        self._name = f"{_user(uid)} (pid {pid})"
        amp.BinaryBoxProtocol.makeConnection(self, transport)
        if not self.factory.admits(uid, gid):
            self._log.warn("control: {name} is not admitted", name=self._name)
            transport.abortConnection()
            return
        transport.registerProducer(self, True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The operator is gone, in whatever way."""
        self._watch(False)
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None

    def dataReceived(self, data: bytes) -> None:
        """Bytes that are no AMP end the connection."""
        try:
            super().dataReceived(data)
        except Exception as error:
            self.drop(error)
        if len(self._currentBox or ()) > _KEYS:
            self.drop(ValueError("a command without an end"))

    def dispatchCommand(self, box: Any) -> Any:
        """A command with wrong arguments is refused, like anything else that cannot be done."""
        return super().dispatchCommand(box).addErrback(self._wrong)

    def unhandledError(self, failure: Failure) -> None:
        """What AMP does not know what to do with."""
        self.drop(failure.value)

    def _wrong(self, failure: Failure) -> Any:
        if failure.check(amp.RemoteAmpError):
            return failure
        self._log.info("control: {name}: a faulty command, {error}", name=self._name, error=repr(failure.value))
        raise amp.RemoteAmpError(b"REFUSED", "the command has faulty arguments")

    def drop(self, error: BaseException | None) -> None:
        """End it; the log says why."""
        self._log.info("control: {name} is dropped: {error}", name=self._name, error=repr(error))
        if self.transport is not None:
            self.transport.abortConnection()

    def pauseProducing(self) -> None:
        """The operator does not read what is told: nothing more is taken from it, and no events are told."""
        if self._watcher is not None:
            self._watcher.full = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It does again."""
        if self._watcher is not None:
            self._watcher.full = False
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is gone."""

    @commands.Hello.responder
    def hello(self) -> dict[str, Any]:
        """Who is who."""
        return {"version": echotime.__version__, "encoding": self.factory.encoding, "name": self._name}

    @commands.Status.responder
    def status(self) -> Deferred[dict[str, Any]]:
        """A few figures, once the listeners were asked."""
        asking: Deferred[Rows] = self.factory.overview.health()
        return asking.addCallback(self._status)

    def _status(self, health: Rows) -> dict[str, Any]:
        desk = self.factory.desk
        return {
            **self.factory.overview.status(),
            "version": echotime.__version__,
            "questions": len(desk.questions),
            "operators": desk.operators,
            "health": health[:_ROWS],
        }

    @commands.Connections.responder
    def connections(self, after: int) -> dict[str, Any]:
        """A page of them."""
        rows, more = self.factory.overview.connections(after)
        return {"rows": rows, "more": more}

    @commands.Questions.responder
    def questions(self, after: int) -> dict[str, Any]:
        """A page of them, the oldest first."""
        waiting = [each for each in self.factory.desk.questions if each.number > after]
        now = self.factory.clock.seconds()
        rows = [
            {
                "number": each.number,
                "peer": each.peer,
                "message": each.message[:SENT_BYTES],
                "size": len(each.message),
                "age": now - each.since,
            }
            for each in waiting[:PAGE]
        ]
        return {"rows": rows, "more": len(waiting) > PAGE}

    @commands.Answer.responder
    def answer(self, number: int, word: bytes) -> dict[str, Any]:
        """A word for one."""
        return {"peer": self._answered(number, word)}

    @commands.AnswerNext.responder
    def answer_next(self, word: bytes) -> dict[str, Any]:
        """A word for the oldest."""
        for question in self.factory.desk.questions[:1]:
            return {"number": question.number, "peer": self._answered(question.number, word)}
        raise Refused("no question waits")

    @commands.AnswerAll.responder
    def answer_all(self, word: bytes) -> dict[str, Any]:
        """A word for all that wait now."""
        count = 0
        for question in self.factory.desk.questions:
            with suppress(Refused):  # one may have ended by another's answer
                self._answered(question.number, word)
                count += 1
        return {"count": count}

    def _answered(self, number: int, word: bytes) -> str:
        try:
            return self.factory.desk.answer(number, word, self._name).peer
        except Settled as settled:
            raise Refused(f"question {number}: {settled}") from None

    @commands.Watch.responder
    def watch(self, on: bool) -> dict[str, Any]:
        """Be there, or not."""
        self._watch(on)
        return {}

    def _watch(self, on: bool) -> None:
        desk, traffic = self.factory.desk, self.factory.traffic
        watcher = self._watcher
        if on and watcher is None:
            self._watcher = Watcher(self, self.factory.clock, _UNSENT + desk.limits.most * _UNSENT_EACH)
            traffic.watch(self._watcher)
            desk.join(self._watcher)
        elif not on and watcher is not None:
            self._watcher = None
            traffic.unwatch(watcher)
            desk.leave(watcher)

    @commands.Sockopts.responder
    def sockopts(self, target: str, names: list[str], after: int) -> dict[str, Any]:
        """A page of options."""
        return _page(self.factory.overview.sockopts(target, names), after)

    @commands.SetOption.responder
    def set_option(self, target: str, assignment: str) -> dict[str, Any]:
        """Set one."""
        rows = self.factory.overview.set_option(target, assignment)
        self._log.info("control: {name} set {target} {what}", name=self._name, target=target, what=assignment)
        return _whole(rows)

    @commands.Backlog.responder
    def backlog(self, limit: int | None = None) -> dict[str, Any]:
        """Queues, and their limit."""
        return _whole(self.factory.overview.backlog(limit))

    @commands.End.responder
    def end(self, number: int, orderly: bool) -> dict[str, Any]:
        """End a connection."""
        return {"peer": self.factory.overview.end(number, orderly)}

    @commands.Counters.responder
    def counters(self) -> dict[str, Any]:
        """What was served, and what became of questions."""
        desk = vars(self.factory.desk.counters)
        questions = [{"name": f"questions_{name}", "value": value} for name, value in desk.items()]
        return _whole([*self.factory.overview.counters(), *questions])


class ControlFactory(ServerFactory):
    """Makes ControlProtocols. `admits` says whether a uid and gid may come; `overview` is an IOverview."""

    noisy = False

    def __init__(
        self,
        desk: Desk,
        overview: Any,
        traffic: Traffic,
        clock: IReactorTime,
        admits: Callable[[int, int], bool],
        encoding: str = "utf-8",
    ) -> None:
        self.desk = desk
        self.overview = overview
        self.traffic = traffic
        self.clock = clock
        self.admits = admits
        self.encoding = encoding

    def buildProtocol(self, addr: Any) -> ControlProtocol:  # type: ignore[override]  # Twisted binds it to `protocol`
        """A protocol for one operator."""
        protocol = ControlProtocol()
        protocol.factory = self
        return protocol


def _page(rows: Rows, after: int) -> dict[str, Any]:
    return {"rows": rows[after : after + PAGE], "more": len(rows) > after + PAGE}


def _whole(rows: Rows) -> dict[str, Any]:
    """Of what there is never much: a row is well below 200 bytes."""
    return {"rows": rows[:_ROWS], "more": False}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
