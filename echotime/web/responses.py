"""Write short responses: lines of text, JSON, and refusals, which are one or the other."""

from __future__ import annotations

from typing import Any

from twisted.web.http import NOT_FOUND, RESPONSES
from twisted.web.resource import Resource
from twisted.web.server import Request

from echotime.wire.escape import sanitize
from echotime.wire.json_line import format_json

API_NAME = b"api"
"""The first path element of the resources whose refusals are JSON."""


def text_response(request: Request, status: int, *lines: str) -> bytes:
    """Set the status and the content type of a response, and return its body."""
    _set_header(request, status, b"text/plain; charset=utf-8")
    return "".join(f"{sanitize(line)}\n" for line in lines).encode()


def json_response(request: Request, value: Any, status: int = 200) -> bytes:
    """Set the status and the content type of a response in JSON, and return its body."""
    _set_header(request, status, b"application/json")
    return json_body(value)


def refusal(request: Request, status: int, reason: str) -> bytes:
    """Return the body of a refusal: JSON below /api, elsewhere a line of text."""
    if (request.prepath or [])[:1] == [API_NAME]:
        return json_response(request, {"error": reason}, status)
    return text_response(request, status, reason)


def json_body(value: Any) -> bytes:
    """Return a value as a line of JSON."""
    return (format_json(value) + "\n").encode()


def _set_header(request: Request, status: int, content_type: bytes) -> None:
    request.setResponseCode(status, RESPONSES.get(status, b"Misdirected Request"))
    request.setHeader(b"Content-Type", content_type)


class Refused(Resource):
    """Refuse every method and path below, with the same status and reason."""

    isLeaf = True

    def __init__(self, status: int, reason: str) -> None:
        super().__init__()
        self._status = status
        self._reason = reason

    def render(self, request: Request) -> bytes:
        return refusal(request, self._status, self._reason)


NOT_FOUND_PAGE = Refused(NOT_FOUND, "not found")


class Folder(Resource):
    """Hold resources by name. Twisted's own answer for the other names is deprecated."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        return NOT_FOUND_PAGE

    def render(self, request: Request) -> bytes:
        return NOT_FOUND_PAGE.render(request)
