"""Test the files of the page: complete Chinese, few lines, and nothing that could run what a peer sent."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from echotime import web
from echotime.counters import ServiceCounters, declared
from tests.support.http_exchange import Harness

STATIC = Path(web.__file__).parent / "static"
OURS = [path for path in sorted(STATIC.iterdir()) if not path.name.startswith("uPlot")]
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in OURS if path.suffix == ".js"}
INDEX = (STATIC / "index.html").read_text(encoding="utf-8")
MAX_LINES = 1000


class Elements(HTMLParser):
    """Collect the elements of a document, each with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(INDEX)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.scripts.append(data)


def chinese() -> dict[str, str]:
    """Return the texts of the page with their translations."""
    (table,) = re.findall(r"const CHINESE = \{(.*?)\n\};", SCRIPTS["language.js"], re.DOTALL)
    pairs = re.findall(r'"((?:[^"\\]|\\.)*)":\s*"((?:[^"\\]|\\.)*)"', table)
    return {key.replace("\\\\", "\\"): value for key, value in pairs}


def test_chinese_is_complete() -> None:
    """Every text of the page has a translation, with the same fields, and no translation is left over."""
    shown = {attributes["data-text"] for _, attributes in Elements().found if "data-text" in attributes}
    code = "\n".join(SCRIPTS[name] for name in SCRIPTS if name != "language.js")
    literals = {each.replace("\\\\", "\\") for each in re.findall(r'"((?:[^"\\]|\\.)*)"', code)}
    called = set(re.findall(r'\btext\(\s*"((?:[^"\\]|\\.)*)"', code))
    known = chinese()
    refusals = {each.log_name for each in declared(ServiceCounters) if each.log_name}
    assert shown | called | refusals <= known.keys()
    left_over = known.keys() - shown - literals - refusals - {"answered by {name}", "{name}: {value}"}
    # why a stream ends, as Chromium and Firefox name it, and the refusal without a token
    left_over -= {"Failed to fetch", "network error", "NetworkError when attempting to fetch resource."}
    left_over -= {"expected Authorization: Bearer TOKEN; echotime control token prints it"}
    # states of a listener, and an outcome of a datagram, as the daemon names them
    assert left_over == {"answered", "not answered", "not probed", "answer not sent"}
    for key, value in known.items():
        assert sorted(re.findall(r"\{\w+\}", key)) == sorted(re.findall(r"\{\w+\}", value)), key


def test_size() -> None:
    """The page is small enough to be read in an hour."""
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in OURS) <= MAX_LINES


@pytest.mark.parametrize("name", SCRIPTS)
def test_text_nodes_only(name: str) -> None:
    """No script makes markup or code of a text, or requests anything but the daemon."""
    dangerous = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|DOMParser|https?://|\bimport\("
    )
    assert re.findall(dangerous, SCRIPTS[name]) == []


def test_nothing_inline() -> None:
    """The document has no inline script, style or handler, and loads its own files only, which all exist."""
    elements = Elements()
    assert elements.scripts == []
    for tag, attributes in elements.found:
        assert tag not in {"style", "iframe", "base", "object"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            if name in attributes:
                assert attributes[name].startswith("/static/")
                assert (STATIC / attributes[name].removeprefix("/static/")).exists()


def test_served() -> None:
    """Each file is served with its type, without a token, and with the headers that restrict the page."""
    harness = Harness()
    for path in ("/", *(f"/static/{each.name}" for each in STATIC.iterdir() if each.suffix != ".LICENSE")):
        response = harness.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert response.startswith(b"HTTP/1.1 200 ")
        assert b"script-src 'self';" in response
        assert re.search(rb"Content-Type: (text/(html|css|javascript); charset=utf-8|image/svg\+xml)\r\n", response)
    assert harness.status("/static/uPlot.LICENSE") == 404
