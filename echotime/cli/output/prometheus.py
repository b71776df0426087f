"""Write metrics in the text format of Prometheus, for node_exporter's textfile collector."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from echotime.wire.escape import sanitize

_FILE_MODE = 0o644


class Metric:
    """Hold one sample of a gauge, with its labels."""

    def __init__(self, name: str, help_text: str, value: float, **labels: str) -> None:
        self.name = name
        self.help_text = help_text
        self.value = value
        self.labels = labels

    def __str__(self) -> str:
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}} {float(self.value):.9g}"


def _escape(value: str) -> str:
    # the format has an escape of its own for a line feed
    printable = "\n".join(map(sanitize, value.split("\n")))
    return printable.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def format_metrics(metrics: Sequence[Metric]) -> str:
    """Return all metrics as text, grouped by name as the format requires."""
    lines = []
    for name in dict.fromkeys(each.name for each in metrics):
        same = [each for each in metrics if each.name == name]
        lines += [f"# HELP {name} {same[0].help_text}", f"# TYPE {name} gauge", *map(str, same)]
    return "\n".join([*lines, ""])


def write_metrics(path: Path, metrics: Sequence[Metric]) -> None:
    """Replace the file in one step: a reader sees the old file or the new one. Raises OSError.

    Only a regular file is replaced, never a device such as /dev/null or the target of a link.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
    # the collector reads *.prom only, so the temporary name hides the unfinished file
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), _FILE_MODE)
            stream.write(format_metrics(metrics))
        Path(unfinished).replace(path)
    except OSError:
        Path(unfinished).unlink(missing_ok=True)
        raise
