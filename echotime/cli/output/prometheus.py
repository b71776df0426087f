"""Replace a file of metrics for node_exporter's textfile collector."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from echotime.wire.exposition import Family, format_metrics

_FILE_MODE = 0o644


def write_metrics(path: Path, families: Iterable[Family]) -> None:
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
            stream.write(format_metrics(families))
        Path(unfinished).replace(path)
    except OSError:
        Path(unfinished).unlink(missing_ok=True)
        raise
