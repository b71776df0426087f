"""Test that the files which `make docs` writes are current and well formed."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from echotime.cli.control.verbs import COMMANDS
from echotime.cli.main import build_parser
from echotime.config.options import DaemonOptions

ROOT = Path(__file__).parents[2]
_BY_HAND = {Path("etc/completion/_twistd-echotime")}
COMMON = {"-h", "--help", "-V", "--version", "-4", "-6", "--sockopt"}
COMMON |= {"--proxy-protocol", "--proxy-source", "--proxy-destination"}
"""Options that docs/tools.md describes once, for several tools."""


def test_current(tmp_path: Path) -> None:
    """The generators write the committed files in any language and on any terminal."""
    environ = {**os.environ, "LC_ALL": "zh_CN.UTF-8", "LANGUAGE": "zh_CN", "COLUMNS": "40"}
    subprocess.run([sys.executable, "docs/generate/write.py", tmp_path], check=True, timeout=60, cwd=ROOT, env=environ)
    made = {each.relative_to(tmp_path) for each in tmp_path.rglob("*") if each.is_file()}
    kept = {
        each.relative_to(ROOT)
        for folder in ("docs/man", "docs/socket-options", "etc/completion")
        for each in (ROOT / folder).iterdir()
    }
    pages = {Path(f"docs/{name}.md") for name in ("behave", "monitoring", "options", "socket-options")}
    assert made == kept - _BY_HAND | pages
    for each in made:
        assert (tmp_path / each).read_text(encoding="utf-8") == (ROOT / each).read_text(encoding="utf-8")


def test_man_pages_are_well_formed() -> None:
    """Groff finds no fault in the man pages, and shows every option of the daemon."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    options = {f"--{name.rstrip('=')}" for name in DaemonOptions().longOpt} - {"--help"}
    assert {"--allow", "--operator", "--config"} <= options
    for page, shown in (
        ("echotime.1", {"--histogram", "--verify", *COMMANDS, "watch"}),
        ("twistd-echotime.8", options),
    ):
        ended = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", str(ROOT / "docs" / "man" / page)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert ended.stderr == ""
        # groff marks bold text in one of two ways
        shown_text = re.sub(r"\x1b\[[\d;]*m|.\x08", "", ended.stdout).replace("\u2010", "-").replace("\u2212", "-")
        assert {each for each in shown if each not in shown_text} == set()


@pytest.mark.parametrize("command", ["send", "time", "ping", "check", "sockopts"])
def test_tables_of_the_tools(command: str) -> None:
    """The hand-written option tables of docs/tools.md, which have examples, list exactly the options of each tool."""
    page = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    _, _, section = page.partition(f"## {command}")
    rows = re.findall(r"^\|.*", section.partition("\n## ")[0], re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(--?[a-zA-Z][a-z-]*)", row)}
    (commands,) = (each for each in build_parser()._actions if isinstance(each, argparse._SubParsersAction))
    known = [set(each.option_strings) for each in commands.choices[command]._actions if each.option_strings]
    assert not listed - set().union(*known)
    assert [sorted(names) for names in known if not names & (listed | COMMON)] == []


def test_table_of_control() -> None:
    """The table of docs/operator.md has every command of `echotime control`."""
    page = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    listed = {name for row in re.findall(r"^\| `.*", page, re.MULTILINE) for name in re.findall(r"`([a-z]+)", row)}
    assert set(COMMANDS) - listed == set()
