"""Write the file of --port-file: the daemon's process ID and addresses as JSON, for scripts and test suites."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import echotime
from echotime.control.peer import user_name
from echotime.errors import report_startup_failure
from echotime.logger import Logger
from echotime.wire.hostport import HostPort

_MODE = 0o644
"""Every user may read the file: it says what every user can see of the host's sockets."""


class PortFile:
    """Replace the file `path` as a whole, so that no reader sees a part of it, and remove it at the end.

    `describe` returns the addresses. The file is written by the user of --uid.
    """

    _log = Logger()

    def __init__(self, path: str, describe: Callable[[], dict[str, Any]]) -> None:
        self._path = path
        self._describe = describe
        self._written: os.stat_result | None = None

    def write(self) -> None:
        """Write the file at the start. Raises StartupError."""
        try:
            self._replace()
        except OSError as error:
            raise report_startup_failure(self._describe_error(error)) from error

    def update(self) -> None:
        """Write the file again after a listener was opened or closed. A failure is logged."""
        if self._written is None:
            return
        try:
            self._replace()
        except OSError as error:
            self._log.error("{reason}", reason=self._describe_error(error))

    def remove(self) -> None:
        """Remove the file, unless another daemon has replaced it."""
        with suppress(OSError):
            if self._written is not None and os.path.samestat(self._written, Path(self._path).lstat()):
                Path(self._path).unlink()
        self._written = None

    def _replace(self) -> None:
        """Write a new file beside the old one, and rename it."""
        content = {"version": echotime.__version__, "pid": os.getpid(), **self._describe()}
        descriptor, temporary = tempfile.mkstemp(prefix=".echotime-", dir=Path(self._path).parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(f"{json.dumps(content, indent=2)}\n".encode())
                os.fchmod(descriptor, _MODE)
                written = os.fstat(descriptor)
            Path(temporary).replace(self._path)
        except OSError:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
        self._written = written

    def _describe_error(self, error: OSError) -> str:
        # the ports are opened before --uid applies, and the file is written afterwards
        user = f" (as user {user_name(os.geteuid())})" if isinstance(error, PermissionError) else ""
        return f"cannot write the port file {self._path}: {error.strerror or error}{user}"


def describe_address(address: HostPort | str) -> dict[str, Any]:
    """Return an address as the file has it: a host and a port, alone and together, or the path of a Unix socket."""
    if isinstance(address, str):
        return {"path": address}
    return {"address": str(address), "host": address.host, "port": address.port}
