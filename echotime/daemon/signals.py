"""Handle the signals that do not stop the daemon. However many there are, they take neither time nor memory.

A signal that arrives during the start is held back by the kernel until the reactor runs.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import Any

from echotime.logger import Logger

LOG_INTERVAL = 10.0
"""Seconds between two log lines for one ignored signal."""
_WITHOUT_USE = (
    *(signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
    *(signal.SIGVTALRM, signal.SIGPROF, signal.SIGPOLL, signal.SIGPWR),
)
"""Signals that end a process by default, without a drain. Other code, such as twistd's, may handle some of them."""
_TERMINAL = "/dev/tty"
_STDIN_FD = 0
_log = Logger()


def hold_signals() -> None:
    """Hold back the signals that would end the process before it has a handler. Unblock all others."""
    signal.pthread_sigmask(signal.SIG_SETMASK, _WITHOUT_USE)


def hold_stop_signals() -> None:
    """Hold back SIGINT and SIGTERM, too. A Deferred would catch the KeyboardInterrupt of a service that starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))


def release_signals() -> None:
    """Unblock all signals, also those that the parent process blocked, as daemon(7) requires."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def stop_command() -> str:
    """Return how the user stops the daemon: Ctrl-C in the foreground of a terminal, else kill(1)."""
    try:
        in_foreground = os.tcgetpgrp(_STDIN_FD) == os.getpgrp()
    except OSError:
        in_foreground = False
    return "Ctrl-C" if in_foreground else f"kill {os.getpid()}"


def ignore_signals(reactor: Any) -> None:
    """Ignore the signals that nothing else handles, and log each signal at most once in LOG_INTERVAL seconds.

    If the controlling terminal hangs up, the daemon stops as by SIGTERM.
    """

    def handle(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        reactor.callFromThread(log_signal, signal.Signals(number))

    def log_signal(number: signal.Signals) -> None:
        if number == signal.SIGHUP and stop_if_hung_up():
            return
        hint = " (a reload requires --config)" if number == signal.SIGHUP else ""
        _log.warn("signal ignored: {name}{hint}", name=number.name, hint=hint)
        reactor.callLater(LOG_INTERVAL, handle_again, number)

    def handle_again(number: signal.Signals) -> None:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handle)
            if number == signal.SIGHUP:
                # the terminal may have hung up while the signal was ignored
                stop_if_hung_up()

    for each in _WITHOUT_USE:
        if signal.getsignal(each) is signal.SIG_DFL:
            signal.signal(each, handle)


def stop_if_hung_up() -> bool:
    """Stop the daemon if the terminal that it was started on is gone. Return True if it is."""
    if is_gone := os.getsid(0) == _TERMINAL_SESSION and _terminal_is_gone():
        _log.info("terminal hung up: stopping")
        os.kill(os.getpid(), signal.SIGTERM)
    return is_gone


def _terminal_is_gone() -> bool:
    """Return True if the process has no controlling terminal, or no longer."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno in {errno.ENXIO, errno.ENOENT}
    return False


_TERMINAL_SESSION = None if _terminal_is_gone() else os.getsid(0)
"""The session in which the process was started with a controlling terminal. twistd without -n begins another."""
