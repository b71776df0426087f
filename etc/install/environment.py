"""The daemon's environment: a venv of its own, made beside the one that is in use, which a link then leaves.

Its programs name it by the path that it will have. It holds no pip, no programs but Python and ours, and none of pip's
notes about its installing, as it is not pip that will remove it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from interpreter import interpreter
from places import SOURCE, Impossible, Places

_NEEDED = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", "echotime", "twisted", "docs/man", "etc/completion")
_PROGRAMS = {"echotime": "echotime.command.entry:main", "twistd": "twisted.scripts.twistd:run"}
_PROGRAM = """\
#!{python}
import sys

from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""
_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_CACHE = "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"


def version() -> str:
    """That of the source tree; the package is not imported, as Twisted may not be here."""
    text = (SOURCE / "echotime" / "__init__.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def free_name(home: Path) -> str:
    """The version, with a number behind it if it is there already."""
    names = (version() + (f"-{number}" if number > 1 else "") for number in range(1, 1000))
    return next(name for name in names if not (home / name).exists())


def make(places: Places, name: str, *, bare: bool) -> None:
    """Make it; bare is without bytecode and cache, which a package makes where it is installed. Raises Impossible."""
    final = places.home / name
    made = places.at(final)
    try:
        _install(made)
        _tidy(made, final)
        if not bare:
            _compile(made, places)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def switch(home: Path, name: str) -> str | None:
    """Have `bin` lead to it, in one step; which it led to."""
    link, new = home / "bin", home / "bin.new"
    before = link.readlink().parts[0] if link.is_symlink() else None
    new.unlink(missing_ok=True)
    new.symlink_to(Path(name, "bin"))
    new.replace(link)
    return before


def _install(made: Path) -> None:
    try:
        venv.create(made, with_pip=True, symlinks=True)
    except (subprocess.CalledProcessError, ModuleNotFoundError):
        raise Impossible(f"{interpreter()} has no ensurepip (in Debian: apt-get install python3-venv)") from None
    with tempfile.TemporaryDirectory(prefix="echotime-install-") as copy:
        # building leaves traces in the source tree, and older ones would be built in
        for each in _needed():
            target = Path(copy, each.relative_to(SOURCE))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(each, target)
        _pip(made, "install", "--no-compile", "--no-warn-script-location", copy)
    _pip(made, "uninstall", "--yes", *(each for each in ("setuptools", "wheel", "pip") if _has(made, each)))


def _needed() -> Iterator[Path]:
    for name in _NEEDED:
        path = SOURCE / name
        found = path.rglob("*") if path.is_dir() else [path]
        yield from (each for each in found if each.is_file() and each.suffix not in {".pyc", ".mo", ".cache"})


def _has(made: Path, package: str) -> bool:
    return any(made.glob(f"lib/python*/site-packages/{package}-*.dist-info"))


def _pip(made: Path, verb: str, *words: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--root-user-action=ignore")
    _run(made / "bin" / "python3", "-I", "-m", "pip", verb, *quiet[: 3 if verb == "install" else 2], *words)


def _run(*command: str | Path) -> None:
    ended = subprocess.run(
        command,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise Impossible(
            f"{' '.join(map(str, command[:5]))} ... ended with status {ended.returncode}:\n{ended.stdout.rstrip()}"
        )


def _tidy(made: Path, final: Path) -> None:
    for each in (made / "bin").iterdir():
        if not each.name.startswith("python"):
            each.unlink()
    for name, target in _PROGRAMS.items():
        module, _colon, function = target.partition(":")
        program = made / "bin" / name
        program.write_text(
            _PROGRAM.format(python=final / "bin" / "python3", module=module, function=function), encoding="utf-8"
        )
        program.chmod(0o755)
    for folder in ("include", "share"):
        shutil.rmtree(made / folder, ignore_errors=True)
    for note in _NOTES:
        for each in made.glob(f"lib/python*/site-packages/*.dist-info/{note}"):
            each.unlink()
    # of pip's own doing, and for its paths
    for cache in [*made.rglob("__pycache__")]:
        shutil.rmtree(cache)
    settings = made / "pyvenv.cfg"
    kept = [line for line in settings.read_text(encoding="utf-8").splitlines() if not line.startswith("command")]
    settings.write_text("\n".join([*kept, ""]), encoding="utf-8")


def _compile(made: Path, places: Places) -> None:
    """Bytecode, with the paths that modules will have, and then the cache of plugins, which must be the newer one."""
    python = made / "bin" / "python3"
    lasting = () if places.real else ("-s", str(places.destdir), "-p", "/")
    _run(
        python, "-I", "-m", "compileall", "-q", "-j", str(os.cpu_count() or 1), "-x", "/tests?/", *lasting, made / "lib"
    )
    _run(python, "-I", "-c", _CACHE)
