"""What the control socket tells and changes of the daemon: the interface that the daemon implements."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Interface

Rows = list[dict[str, Any]]
"""As the command of the same name has them in its response."""


class IControlBackend(Interface):
    """Every method may raise commands.CommandError."""

    def status() -> dict[str, Any]:
        """As commands.Status, but for questions, operators and health."""

    def health() -> Deferred[Rows]:
        """Every listener is asked; what came of it, as commands.Status has it."""

    def connections(after: int) -> tuple[Rows, bool]:
        """Those with higher numbers, and whether there are still more."""

    def sockopts(target: str, names: list[str]) -> Rows:
        """Options of live sockets."""

    def set_option(target: str, assignment: str) -> Rows:
        """Set one, and read it back."""

    def backlog(limit: int | None) -> Rows:
        """The listeners' queues; with a limit after listening again."""

    def close_connection(number: int, orderly: bool) -> str:
        """End a connection; its peer."""

    def counters() -> Rows:
        """What was served."""
