"""The operator's seat: at the daemon's own terminal, or a script at its standard input."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from echotime.operators.reply_queue import ReplyQueue
from echotime.operators.stdin_operator import StdinOperator
from echotime.operators.terminal import PromptAwareStdout, TerminalOperator
from echotime.services.traffic import TrafficLog


class OperatorService(Service):
    """Taken when the daemon serves, left when it stops."""

    def __init__(self, operator: StdinOperator | TerminalOperator) -> None:
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


def is_interactive() -> bool:
    """Whether a person can be asked here."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def build_local_operator(
    reply_queue: ReplyQueue, traffic: TrafficLog, reactor: Any, encoding: str, *, log_to_stdout: bool
) -> OperatorService:
    """The seat for what standard input is. At a terminal everything else that is written there goes around the prompt.

    To be called before twistd begins its log: that keeps the standard output of this moment. `log_to_stdout` is whether
    it goes there: then who came and what was sent is shown once, by the operator's dialogue.
    """
    if not is_interactive():
        # standard input that was closed is an operator who is not there; its number may be somebody else's by now
        descriptor = sys.stdin.fileno() if sys.stdin is not None else os.open(os.devnull, os.O_RDONLY)
        return OperatorService(StdinOperator(reply_queue, descriptor, reactor))

    def on_attach(attached: bool) -> None:
        traffic.log_arrivals = not (attached and log_to_stdout)

    # chooses the language of the person who sits here; a daemon's log without one stays English
    importlib.import_module("echotime.i18n.language")
    stdout = sys.stdout
    stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    operator = TerminalOperator(reply_queue, stdout, sys.stdin, reactor, encoding, on_attach)
    traffic.add_observer(operator)
    sys.stdout = PromptAwareStdout(stdout, operator)
    return OperatorService(operator)
