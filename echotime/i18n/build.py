"""Makes the .mo files when the package is built; setup.cfg names BuildPy. Not imported when echotime runs."""

from __future__ import annotations

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from setuptools.command.build_py import build_py

DIRECTORY = Path(__file__).parent


def compile_catalogues(directory: Path = DIRECTORY) -> list[Path]:
    """Make a .mo beside each .po; their paths."""
    compiled = []
    for source in sorted(directory.glob("*/LC_MESSAGES/*.po")):
        with source.open("rb") as text:
            catalogue = read_po(text, locale=source.parts[-3], abort_invalid=True)
        compiled.append(source.with_suffix(".mo"))
        with compiled[-1].open("wb") as binary:
            write_mo(binary, catalogue)
    return compiled


class BuildPy(build_py):
    """setuptools' command, with the catalogues made before modules and data are collected."""

    def run(self) -> None:
        """Make them in the source tree, where an editable install looks for them, too."""
        compile_catalogues()
        super().run()
