"""The operator's seat: at the daemon's own terminal, or a script at its standard input."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from echotime.desk.pipe import PipeOperator
from echotime.desk.questions import Desk
from echotime.desk.terminal import Aside, TerminalOperator
from echotime.servers.traffic import Traffic


class OperatorSeat(Service):
    """Taken when the daemon serves, left when it stops."""

    def __init__(self, operator: PipeOperator | TerminalOperator) -> None:
        self._operator = operator

    def startService(self) -> None:
        """Sit down."""
        super().startService()
        self._operator.start()

    def stopService(self) -> Deferred[None]:
        """Get up."""
        super().stopService()
        self._operator.stop()
        return succeed(None)


def at_terminal() -> bool:
    """Whether a person can be asked here."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def seat(desk: Desk, traffic: Traffic, reactor: Any, encoding: str, *, log_here: bool) -> OperatorSeat:
    """The seat for what standard input is. At a terminal everything else that is written there goes around the prompt.

    To be called before twistd begins its log: that keeps the standard output of this moment. `log_here` is whether
    it goes there: then who came and what was sent is shown once, by the operator's dialogue.
    """
    if not at_terminal():
        # standard input that was closed is an operator who is not there; its number may be somebody else's by now
        words = sys.stdin.fileno() if sys.stdin is not None else os.open(os.devnull, os.O_RDONLY)
        return OperatorSeat(PipeOperator(desk, words, reactor))

    def seated(here: bool) -> None:
        traffic.arrivals = not (here and log_here)

    # chooses the language of the person who sits here; a daemon's log without one stays English
    importlib.import_module("echotime.locale.language")
    screen = sys.stdout
    screen.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    operator = TerminalOperator(desk, screen, sys.stdin, reactor, encoding, seated)
    traffic.watch(operator)
    sys.stdout = Aside(screen, operator)
    return OperatorSeat(operator)
