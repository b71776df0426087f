"""Write short responses as plain text."""

from __future__ import annotations

from twisted.web.http import NOT_FOUND, RESPONSES, Request
from twisted.web.resource import Resource

from echotime.wire.escape import sanitize


def text_response(request: Request, status: int, *lines: str) -> bytes:
    """Set the status and the content type of a response, and return its body."""
    request.setResponseCode(status, RESPONSES.get(status, b"Misdirected Request"))
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    return "".join(f"{sanitize(line)}\n" for line in lines).encode()


class TextResource(Resource):
    """Answer every method and path below with the same status and text."""

    isLeaf = True

    def __init__(self, status: int, text: str) -> None:
        super().__init__()
        self._status = status
        self._text = text

    def render(self, request: Request) -> bytes:
        return text_response(request, self._status, self._text)


NOT_FOUND_PAGE = TextResource(NOT_FOUND, "not found")


class Folder(Resource):
    """Hold resources by name. Twisted's own answer for the other names is deprecated."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        return NOT_FOUND_PAGE

    def render(self, request: Request) -> bytes:
        return NOT_FOUND_PAGE.render(request)
