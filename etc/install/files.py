"""All that is installed beside the environment: what each file holds, and where it goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from interpreter import interpreter, standard_library
from places import SOURCE, Places

UNITS = (
    *("echotime.service", "echotime.socket", "echotime-direct.service"),
    *("echotime@.service", "echotime@.socket"),
)
_HOME, _PYTHON, _SYSCONFDIR = "/usr/lib/echotime", "/usr/bin/python3", "/etc"
"""What the units say, to be replaced."""


class File(NamedTuple):
    """`link` is what a symbolic link says instead of `content`; the administrator may edit what is `configuration`."""

    path: Path
    content: bytes = b""
    link: str = ""
    configuration: bool = False


def files(places: Places) -> Iterator[File]:
    """All of them."""
    share = places.prefix / "share"
    for name, program in (("echotime", "echotime"), ("twistd-echotime", "twistd")):
        yield File(places.prefix / "bin" / name, link=f"../lib/echotime/bin/{program}")
    for unit in UNITS:
        yield File(places.unitdir / unit, _adapted(SOURCE / "etc" / unit, places))
    configuration = {"echotime.default": "default/echotime", "echotime.conf": "echotime/echotime.conf"}
    for name, target in configuration.items():
        yield File(places.sysconfdir / target, _adapted(SOURCE / "etc" / name, places), configuration=True)
    for page in sorted((SOURCE / "docs" / "man").iterdir()):
        yield _same(page, share / "man" / f"man{page.suffix[1:]}" / page.name)
    for each in sorted((SOURCE / "etc" / "completion").iterdir()):
        folder = places.zshdir if each.name.startswith("_") else share / "bash-completion" / "completions"
        yield _same(each, folder / each.name.removesuffix(".bash"))
    yield from _documents(share / "doc" / "echotime")


def _documents(folder: Path) -> Iterator[File]:
    for name in ("README.md", "CHANGELOG.md", "LICENSE"):
        yield _same(SOURCE / name, folder / name)
    for each in sorted((SOURCE / "docs").iterdir()):
        if each.suffix in {".md", ".svg"}:
            yield _same(each, folder / "docs" / each.name)
    yield _same(SOURCE / "etc" / "echotime.sysctl", folder / "echotime.sysctl")


def _same(source: Path, target: Path) -> File:
    return File(target, source.read_bytes())


def _adapted(source: Path, places: Places) -> bytes:
    """With the paths that hold here."""
    text = source.read_text(encoding="utf-8").replace(f"{_SYSCONFDIR}/", f"{str(places.sysconfdir).rstrip('/')}/")
    text = text.replace(_HOME, str(places.home))
    if interpreter().resolve() != Path(_PYTHON).resolve():
        # what may be executed: the program, and what it loads, C modules above all
        text = text.replace(_PYTHON, f"{interpreter()} {standard_library().parent}")
    return text.encode("utf-8")
