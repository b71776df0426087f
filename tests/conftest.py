"""Give pytest-twisted tests what trial gives its own: order, a time limit, a clean reactor, no stray errors."""

from __future__ import annotations

import functools
import gc
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from twisted.internet import defer
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from tests.support.twistd_process import LIMIT

ROOT = Path(__file__).parents[1]
settings.register_profile("bounded", deadline=None, database=None)
settings.register_profile("long", deadline=None, database=None, max_examples=5000)
settings.load_profile("bounded")


def pytest_configure(config: pytest.Config) -> None:
    """Compile Chinese texts that have changed, as a build does: the programs read the .mo files of the source tree."""
    if not hasattr(config, "workerinput"):
        for text in (ROOT / "echotime" / "i18n").glob("*/LC_MESSAGES/*.po"):
            compiled = text.with_suffix(".mo")
            if not compiled.exists() or compiled.stat().st_mtime < text.stat().st_mtime:
                importlib.import_module("echotime.i18n.build").compile_catalogues()


LONGEST = (
    *("install", "packaging", "hostile", "echo", "limits", "stop", "control_verbs", "tool_send", "options", "tutorial"),
    *("interleavings", "fuzz_tcp"),
)
"""The files test_NAME.py that take longest. A parallel run that began them last would wait for them alone."""


def _rank(item: pytest.Item) -> int:
    name = item.path.stem.removeprefix("test_")
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def _is_trial(item: object) -> bool:
    cls = getattr(item, "cls", None)
    return cls is not None and issubclass(cls, SynchronousTestCase)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run trial's tests first, and of these and of the others the longest files.

    A waiting trial test runs the reactor itself, and pytest-twisted never stops the reactor once started.
    """
    items.sort(key=lambda item: (not _is_trial(item), _rank(item)))
    # objects that exist before the first test are not its garbage, and each collection would spend 15 ms on them
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Bound the time of tests that wait for Deferreds; pytest has no way to end those."""
    test = getattr(item, "obj", None)
    if getattr(test, "_pytest_twisted_mark", None) != "async_test":
        return

    @functools.wraps(test)  # type: ignore[arg-type]
    async def limited(*args: Any, **kwargs: Any) -> Any:
        from twisted.internet import reactor

        return await defer.ensureDeferred(test(*args, **kwargs)).addTimeout(LIMIT, reactor)  # type: ignore[misc]

    item.obj = limited  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def clean_reactor(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[list[LogEvent]]:
    """Fail a test that leaves a delayed call or a socket in the reactor, or an error in the log.

    A test that expects an error in the log uses this fixture, checks its list and clears it.
    """
    if _is_trial(request.node):
        monkeypatch.chdir(tmp_path)  # where TestCase.mktemp() makes its files
        yield []
        return
    reactor: Any = importlib.import_module("twisted.internet.reactor")
    errors: list[LogEvent] = []

    @provider(ILogObserver)
    def observer(event: LogEvent) -> None:
        if event.get("log_level") in {LogLevel.error, LogLevel.critical}:
            errors.append(event)

    before, calls = _selectables(reactor), set(reactor.getDelayedCalls())
    globalLogPublisher.addObserver(observer)
    yield errors
    gc.collect()  # an unhandled Deferred logs when it is collected
    globalLogPublisher.removeObserver(observer)
    problems = [f"logged error: {formatEvent(event)} {event.get('log_failure', '')}" for event in errors]
    problems += [f"left in the reactor: {each}" for each in set(reactor.getDelayedCalls()) - calls]
    problems += [f"left in the reactor: {each}" for each in _selectables(reactor) - before]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def _selectables(reactor: Any) -> set[object]:
    return {*reactor.getReaders(), *reactor.getWriters()} - set(reactor._internalReaders)
