"""Compile the .mo files when the package is built (setup.cfg names BuildPy). The running program never imports this."""

from __future__ import annotations

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from setuptools.command.build_py import build_py

DIRECTORY = Path(__file__).parent


def compile_catalogues(directory: Path = DIRECTORY) -> list[Path]:
    """Compile each .po file to a .mo file in the same directory. Return the paths of the .mo files."""
    compiled = []
    for source in sorted(directory.glob("*/LC_MESSAGES/*.po")):
        with source.open("rb") as text:
            catalogue = read_po(text, locale=source.parts[-3], abort_invalid=True)
        compiled.append(source.with_suffix(".mo"))
        with compiled[-1].open("wb") as binary:
            write_mo(binary, catalogue)
    return compiled


class BuildPy(build_py):
    """Compile the catalogues before setuptools collects modules and data files."""

    def run(self) -> None:
        """Compile the catalogues in the source tree, where an editable install looks for them, too."""
        compile_catalogues()
        super().run()
