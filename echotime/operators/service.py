"""OperatorService: run the operator at the daemon's own terminal, or the script at its standard input."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service

from echotime.operators.reply_queue import ReplyQueue
from echotime.operators.stdin_operator import StdinOperator
from echotime.operators.terminal import PromptAwareStdout, TerminalOperator
from echotime.services.traffic import TrafficLog


class OperatorService(Service):
    """Start the operator with the daemon, and stop it with the daemon."""

    def __init__(self, operator: StdinOperator | TerminalOperator) -> None:
        self._operator = operator

    def startService(self) -> None:
        super().startService()
        self._operator.start()

    def stopService(self) -> None:
        super().stopService()
        self._operator.stop()


def build_local_operator(
    reply_queue: ReplyQueue,
    traffic: TrafficLog,
    reactor: Any,
    encoding: str,
    listeners: Callable[[], list[str]],
    *,
    log_to_stdout: bool,
) -> OperatorService:
    """Return the service of the operator at standard input: a person at a terminal, or a script.

    For a terminal, sys.stdout is replaced, so that other output is drawn above the prompt. Call this before twistd
    starts the log, which keeps the sys.stdout of that moment. `listeners` returns what the daemon listens on.
    `log_to_stdout` is True if the log goes there: then only the operator's dialogue shows new connections, messages and
    answers, and the log does not repeat them.
    """
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        # reading a terminal in its background then fails, where the kernel would stop the whole daemon
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        # if standard input was closed, descriptor 0 may belong to another file by now
        descriptor = sys.stdin.fileno() if sys.stdin is not None else os.open(os.devnull, os.O_RDONLY)
        return OperatorService(StdinOperator(reply_queue, descriptor, reactor))

    def on_attach(attached: bool) -> None:
        traffic.log_arrivals = reply_queue.log_answers = not (attached and log_to_stdout)

    # choose the language of the person at the terminal; without one the daemon's log stays English
    importlib.import_module("echotime.i18n.language")
    stdout = sys.stdout
    stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    operator = TerminalOperator(
        reply_queue, stdout, sys.stdin, reactor, encoding, on_attach, list if log_to_stdout else listeners
    )
    traffic.add_observer(operator)
    sys.stdout = PromptAwareStdout(stdout, operator)
    return OperatorService(operator)
