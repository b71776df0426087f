"""Serve the page and its static files from memory. The files are found once, so no request names a path."""

from __future__ import annotations

from pathlib import Path

from twisted.web.resource import Resource
from twisted.web.static import Data

_DIRECTORY = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def _load(path: Path) -> Data:
    return Data(path.read_bytes(), _TYPES[path.suffix])


def build_page() -> Resource:
    """Return the resource for the page itself."""
    return _load(_DIRECTORY / "index.html")


def build_static() -> Resource:
    """Return the resource whose children are the files that the page loads."""
    root = Resource()
    for path in _DIRECTORY.iterdir():
        if path.suffix in _TYPES:
            root.putChild(path.name.encode(), _load(path))
    return root
