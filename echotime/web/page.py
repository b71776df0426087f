"""Serve the page and its static files from memory. The files are found once, so no request names a path."""

from __future__ import annotations

from pathlib import Path

from twisted.web.resource import Resource
from twisted.web.server import Request

from echotime.web.responses import NOT_FOUND_PAGE, Folder

_DIRECTORY = Path(__file__).parent / "static"
_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}


class StaticFile(Resource):
    """Answer GET with the content that a file had at the start."""

    isLeaf = True

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._content = path.read_bytes()
        self._type = _TYPES[path.suffix]

    def render_GET(self, request: Request) -> bytes:
        if request.postpath:
            return NOT_FOUND_PAGE.render(request)
        request.setHeader(b"Content-Type", self._type)
        return self._content


def build_page() -> Resource:
    """Return the resource for the page itself."""
    return StaticFile(_DIRECTORY / "index.html")


def build_static() -> Resource:
    """Return the resource whose children are the files that the page loads."""
    root = Folder()
    for path in _DIRECTORY.iterdir():
        if path.suffix in _TYPES:
            root.putChild(path.name.encode(), StaticFile(path))
    return root
