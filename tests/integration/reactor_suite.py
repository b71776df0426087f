"""Run Twisted's own reactor tests on EPollReactor, and those that pass there on ChangelistReactor, too.

`python -m tests.integration.reactor_suite` prints the tests that fail on ChangelistReactor alone, then the counts.
It needs its own process: Twisted makes the test classes for a list of reactors when the modules are imported, and a
test replaces the state of the process's reactor.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.python import log
from twisted.trial.reporter import TestResult
from twisted.trial.runner import TestLoader

PLAIN = "twisted.internet.epollreactor.EPollReactor"
OURS = "echotime.reactor.ChangelistReactor"
MODULES = ("core", "fdset", "newtls", "process", "socket", "stdio", "tcp", "threads", "time", "tls", "udp", "unix")
"""Modules twisted.internet.test.test_NAME with tests for each reactor."""


def passing(reactor: str, wanted: set[str] | None = None) -> set[str]:
    """Run the tests for a reactor, all or those `wanted`; return the names of those that passed."""
    passed = set()
    for name, test in tests(reactor):
        if wanted is None or name in wanted:
            result = run(test)
            if wanted is not None and not result.wasSuccessful():
                result = run(test)  # some listen on a port that was free a moment ago, and another process may take it
            if result.wasSuccessful() and not result.skips:
                passed.add(name)
            elif wanted is not None:
                print(name, *(failure for _, failure in [*result.errors, *result.failures]), sep="\n")
    return passed


def run(test: Any) -> TestResult:
    """Run a test, and return its result."""
    result = TestResult()
    test.run(result)
    return result


def tests(reactor: str) -> Iterator[tuple[str, Any]]:
    """Yield each test for a reactor, with a name that is the same for every reactor."""
    made_for = "_" + reactor.rpartition(".")[2] + "Tests"
    for module in MODULES:
        for name, made in dict(vars(importlib.import_module(f"twisted.internet.test.test_{module}"))).items():
            if name.endswith(made_for):
                for each in TestLoader().loadClass(made):
                    yield f"{module}.{name.removesuffix(made_for)}.{each.id().rpartition('.')[2]}", each


def main() -> int:
    """Return 0 if every test that passes on EPollReactor passes on ChangelistReactor."""
    ReactorBuilder._reactors = [PLAIN, OURS]
    log.startLoggingWithObserver(lambda event: None, setStdout=False)  # keep expected errors from being printed
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        plain = passing(PLAIN)
        ours = passing(OURS, plain)
        os.chdir("/")
    print(f"{len(plain)} tests pass on EPollReactor, {len(ours)} of them on ChangelistReactor")
    return 0 if plain == ours else 1


if __name__ == "__main__":
    sys.exit(main())
