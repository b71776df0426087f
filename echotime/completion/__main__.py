"""Writes the files that `make install` puts where the shells look for them; called by `make docs`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from echotime.completion import bash, zsh
from echotime.completion.grammar import daemon, tools


def main() -> None:
    """Write all files into the directory that is named; the names are those that the shells look for."""
    directory = Path(sys.argv[1])
    for root in (tools(), daemon()):
        (directory / f"{root.name}.bash").write_text(bash.script(root), encoding="utf-8")
        (directory / f"_{root.name}").write_text(zsh.script(root), encoding="utf-8")


if __name__ == "__main__":
    if os.environ.get("LC_ALL") != "C.UTF-8":
        # as with the man pages: the texts are English, in whatever language they are made
        english = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": ""}
        os.execve(sys.executable, [sys.executable, "-m", "echotime.completion", *sys.argv[1:]], english)
    main()
