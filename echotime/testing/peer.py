"""Peer: what a test sees of a daemon that other tests use, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from echotime.behave.kinds import parse_behavior
from echotime.cli.control.connection import ControlConnection, ControlConnectionLost
from echotime.control import commands
from echotime.control.commands import CommandError
from echotime.testing.daemons import Address, DaemonProcess

_SETTLED = 5
"""Equal readings in a row after which what clients did before is counted. One takes an iteration of the reactor."""
_MAX_READINGS = 100
"""Readings after which a daemon that is never at rest, as with a limited bandwidth, is not waited for."""
_LIMIT = 10.0


class Peer:
    """Make a daemon misbehave for one test, and tell what happened since the test began.

    `close` undoes all of it for the next test. The other methods raise OSError if the daemon has ended.
    """

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        self.tcp: Address = daemon.tcp
        """The address of the TCP echo, as (host, port)."""
        self.udp: Address = daemon.udp
        """The address of the UDP time, as (host, port)."""
        self._behaving: list[str] = []
        """The addresses of the listeners that misbehave."""
        self._log_start = daemon.log_size
        self._counters = self._settled()[1]

    def behave(self, behavior: str) -> Address:
        """Open a listener with a behavior of --behave, such as ``reset_peer:bytes=3``, and return its address.

        The transport is that of the behavior. Raises ValueError if the behavior is faulty, and OSError if the listener
        cannot be opened.
        """
        parse_behavior(behavior)
        try:
            with self._control() as control:
                rows = control.call(commands.Behave, behaviors=[f"127.0.0.1:0={behavior}"])["rows"]
        except CommandError as error:
            raise OSError(str(error)) from None
        address: str = rows[0]["address"]
        self._behaving.append(address)
        host, _colon, port = address.rpartition(":")
        return host, int(port)

    def connections(self) -> list[dict[str, Any]]:
        """Return the open connections, as `echotime control --json connections` prints them."""
        return self._settled()[0]

    def counters(self) -> dict[str, int]:
        """Return by how much each counter of `echotime control --json counters` has grown during the test."""
        return {name: value - self._counters.get(name, 0) for name, value in self._settled()[1].items()}

    @property
    def log(self) -> str:
        """Return what the daemon has logged during the test."""
        return self._daemon.log(self._log_start)

    def close(self) -> None:
        """Close the listeners that misbehave, and reset the open connections. The daemon may have ended."""
        try:
            self._restore()
        except OSError:
            if self._daemon.is_running:
                raise

    def _restore(self) -> None:
        with self._control() as control:
            for address in self._behaving:
                with suppress(CommandError):  # the test has closed it
                    control.call(commands.Behave, behaviors=[f"{address}=off"])
        deadline = time.monotonic() + _LIMIT
        while rows := self.connections():
            with self._control() as control:
                for row in rows:
                    with suppress(CommandError):  # it has ended in the meantime
                        control.call(commands.CloseConnection, number=row["number"], orderly=False)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the daemon does not end its connections: {rows}")

    def _settled(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Return the connections and the counters once the daemon has handled what clients did before.

        A client sees the end of its connection before the daemon counts it.
        """
        last: object = None
        equal = readings = 0
        with self._control() as control:
            while equal < _SETTLED and readings < _MAX_READINGS:
                rows = list(control.rows(commands.Connections, "number"))
                state = [(row["number"], row["bytes_in"], row["bytes_out"]) for row in rows]
                equal = equal + 1 if state == last else 0
                last = state
                readings += 1
            return rows, {row["name"]: row["value"] for row in control.call(commands.Counters)["rows"]}

    @contextmanager
    def _control(self) -> Iterator[ControlConnection]:
        """Connect to the control socket for a moment, so that no thread is left while the test runs.

        Raises OSError if the daemon has ended, or does not respond.
        """
        try:
            connection = ControlConnection(self._daemon.control)
            try:
                yield connection
            finally:
                connection.close()
        except (ControlConnectionLost, OSError):
            raise OSError(self._daemon.fate()) from None
