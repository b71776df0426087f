"""Start servers and loads, each on CPUs of its own, and end them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

_CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = _CPUS[0], _CPUS[-1]
"""The same CPU if there is only one."""
_DESCRIPTORS = 20_000
_SECONDS_TO_END = 10


def allow_many_sockets() -> str:
    """Raise the limit of open descriptors for every process started from here; return why it failed, or ""."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _DESCRIPTORS:
        most = hard if hard == resource.RLIM_INFINITY else max(hard, _DESCRIPTORS)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, most))
        except (OSError, ValueError) as error:
            return f"{hard} open descriptors are allowed, {_DESCRIPTORS} are needed: {error}"
    return ""


@contextlib.contextmanager
def on_cpus(*numbers: int) -> Iterator[None]:
    """Run this process, and every process started meanwhile with all its threads, on these CPUs only."""
    os.sched_setaffinity(0, numbers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, _CPUS)


@contextlib.contextmanager
def server_process(
    command: list[str], log: Path, cpu: int = SERVER_CPU, descriptors: Collection[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server on a CPU, its output in a file. It leads a process group, and the whole group is ended.

    It inherits `descriptors`.
    """
    with log.open("wb") as output, on_cpus(cpu):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(descriptors),
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
