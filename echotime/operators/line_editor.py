"""LineEditor: edit a line on a terminal while other output goes to the same terminal.

The terminal must have ICANON and ECHO switched off (termios(3)). The caller reads and writes it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from echotime.wire.escape import display_width, sanitize

_MAX_LENGTH = 4096
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:[\[O][0-9;?]*[ -/]*[@-~]|[^\[O])")
_PARTIAL_SEQUENCE = re.compile(r"\x1b(?:[\[O][0-9;?]*[ -/]*)?$")
_BACKSPACE = "\x08\x7f"
_KILL_LINE, _KILL_WORD, _EOF = "\x15", "\x17", "\x04"


class LineEditor:
    """Draw a prompt and the line typed after it, and call `on_line` with each finished line.

    `write` writes text to the terminal, and `width` returns its columns. `on_eof` is called at Ctrl-D on an empty
    line. Without a prompt nothing is drawn.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        width: Callable[[], int],
        on_line: Callable[[str], object],
        on_eof: Callable[[], object],
        encoding: str = "utf-8",
    ) -> None:
        self._write = write
        self._width = width
        self._on_line = on_line
        self._on_eof = on_eof
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._prompt = ""
        self._text = ""
        self._drawn = ""
        self._pending = ""
        self._was_discarded = False
        """True until the line after a discarded one is finished."""

    def set_prompt(self, prompt: str) -> None:
        """Show a prompt and the unfinished line after it. An empty prompt hides both."""
        self._erase()
        self._prompt = prompt
        self._draw()

    def clear(self) -> str:
        """Discard the unfinished line, and return it. Its end, an empty line, is not reported to `on_line`."""
        text, self._text = self._text, ""
        self._was_discarded |= bool(text)
        return text

    def print_above(self, text: str) -> None:
        """Write whole lines of other output above the prompt."""
        self._erase()
        self._write(text)
        self._draw()

    def feed(self, data: bytes) -> None:
        """Apply input from the terminal, and redraw once."""
        before = self._text
        text = self._pending + self._decoder.decode(data)
        partial = _PARTIAL_SEQUENCE.search(text)
        self._pending = partial[0] if partial else ""
        for character in _ESCAPE_SEQUENCE.sub("", text[: len(text) - len(self._pending)]):
            if character in "\r\n":
                self._redraw(before)
                self._submit()
                before = self._text
            elif character == _EOF:
                if not self._text:
                    self._on_eof()
            else:
                self._text = self._apply_key(character)
        self._redraw(before)

    def _redraw(self, before: str) -> None:
        if self._text != before:
            self._erase()
            self._draw()

    def _submit(self) -> None:
        line, self._text = self._text, ""
        was_discarded, self._was_discarded = self._was_discarded, False
        if was_discarded and not line:
            return
        if self._drawn:
            self._write("\n")
            self._drawn = ""
        self._on_line(line)

    def _apply_key(self, character: str) -> str:
        """Return the line after the key `character`."""
        if character in _BACKSPACE:
            return self._text[:-1]
        if character == _KILL_LINE:
            return ""
        if character == _KILL_WORD:
            return re.sub(r"\S*\s*$", "", self._text)
        if character.isprintable() and len(self._text) < _MAX_LENGTH:
            return self._text + character
        return self._text

    def _draw(self) -> None:
        if self._prompt:
            self._drawn = self._prompt + sanitize(self._text)
            self._write(self._drawn)

    def _erase(self) -> None:
        if self._drawn:
            above = (display_width(self._drawn) - 1) // max(self._width(), 1)
            self._write("\r" + (f"\x1b[{above}A" if above > 0 else "") + "\x1b[J")
            self._drawn = ""
