"""Write all files that `make docs` makes, below a directory: ``python docs/generate/write.py DIRECTORY``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# the files are in English with lines of any length, whatever the language and width of the terminal
os.environ.update(LC_ALL="C.UTF-8", LANGUAGE="", COLUMNS="100000")

import behavior_table
import completion
import counter_table
import man_pages
import option_table
import socket_options


def main() -> None:
    """Write all files below the directory that the command line names."""
    files = {
        "docs/behave.md": behavior_table.insert(Path("docs/behave.md").read_text(encoding="utf-8")),
        "docs/options.md": option_table.insert(Path("docs/options.md").read_text(encoding="utf-8")),
        "docs/monitoring.md": counter_table.monitoring_page(),
        **{f"docs/{name}": text for name, text in socket_options.pages().items()},
        **{f"docs/man/{name}": text for name, text in man_pages.pages().items()},
        **{f"etc/completion/{name}": text for name, text in completion.scripts().items()},
    }
    for name, text in files.items():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
