"""Makes the .mo files when the package is built; setup.cfg names BuildPy. Not imported when echotime runs."""

from __future__ import annotations

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


def compile_catalogues(directory: Path = HERE) -> list[Path]:
    """Make a .mo beside each .po; their paths."""
    made = []
    for source in sorted(directory.glob("*/LC_MESSAGES/*.po")):
        with source.open("rb") as text:
            catalogue = read_po(text, locale=source.parts[-3], abort_invalid=True)
        made.append(source.with_suffix(".mo"))
        with made[-1].open("wb") as binary:
            write_mo(binary, catalogue)
    return made


class BuildPy(build_py):
    """setuptools' command, with the catalogues made before modules and data are collected."""

    def run(self) -> None:
        """Make them in the source tree, where an editable install looks for them, too."""
        compile_catalogues()
        super().run()
