"""Resources that return JSON, and that take arguments from the query or from a JSON object in the body."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.web.http import BAD_REQUEST, CONFLICT, NOT_ALLOWED
from twisted.web.resource import Resource
from twisted.web.server import Request

from echotime.control.commands import CommandError, InvalidArgument
from echotime.web.responses import json_response

_MAX_ARGUMENT = 1000
"""Characters of an argument in the query, at most."""
_TYPE_NAMES = {int: "an integer", str: "a string", bool: "true or false"}

Arguments = dict[str, Any]


class HTTPError(Exception):
    """Report a request that is refused, with the status code and the reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _JSONResource(Resource):
    """Return the value of `run` as JSON.

    HTTPError has its own status, InvalidArgument status 400, every other CommandError status 409.
    """

    isLeaf = True
    methods: tuple[bytes, ...]

    def __init__(self, run: Callable[[Request, Arguments], Any]) -> None:
        super().__init__()
        self._run = run

    def render(self, request: Request) -> bytes:
        try:
            if request.method not in self.methods:
                request.setHeader(b"Allow", b", ".join(self.methods))
                raise HTTPError(NOT_ALLOWED, f"expected {' or '.join(each.decode() for each in self.methods)}")
            return json_response(request, self._run(request, self.arguments(request)))
        except HTTPError as error:
            return json_response(request, {"error": str(error)}, error.code)
        except CommandError as error:
            status = BAD_REQUEST if isinstance(error, InvalidArgument) else CONFLICT
            return json_response(request, {"error": str(error)}, status)

    def arguments(self, request: Request) -> Arguments:
        """Return the arguments of a request. Raises HTTPError if they are invalid."""
        raise NotImplementedError


class Query(_JSONResource):
    """Answer GET with arguments from the query. `defaults` names them, with the values of those that are missing."""

    methods = (b"GET", b"HEAD")

    def __init__(self, defaults: Mapping[str, str], run: Callable[[Request, Arguments], Any]) -> None:
        super().__init__(run)
        self._defaults = defaults

    def arguments(self, request: Request) -> Arguments:
        given = {}
        for key, values in (request.args or {}).items():
            name, value = key.decode("utf-8", "replace"), values[-1].decode("utf-8", "replace")
            if name not in self._defaults:
                expected = ", ".join(self._defaults) or "no arguments"
                raise HTTPError(BAD_REQUEST, f"unexpected argument {name[:40]!r}; expected {expected}")
            if len(value) > _MAX_ARGUMENT:
                raise HTTPError(BAD_REQUEST, f"{name} must not exceed {_MAX_ARGUMENT} characters")
            given[name] = value
        return {**self._defaults, **given}


class Command(_JSONResource):
    """Answer POST with a JSON object. `required` and `optional` are the types of its fields."""

    methods = (b"POST",)

    def __init__(
        self,
        run: Callable[[Request, Arguments], Any],
        required: Mapping[str, type],
        optional: Mapping[str, type] | None = None,
    ) -> None:
        super().__init__(run)
        self._required = required
        self._types = {**required, **(optional or {})}

    def arguments(self, request: Request) -> Arguments:
        fields = read_object(request)
        for name in fields:
            if name not in self._types:
                raise HTTPError(BAD_REQUEST, f"unexpected field {name[:40]!r}; expected {', '.join(self._types)}")
        for name in self._required:
            if name not in fields:
                raise HTTPError(BAD_REQUEST, f"missing field '{name}'")
        for name, value in fields.items():
            if type(value) is not self._types[name]:
                raise HTTPError(BAD_REQUEST, f"{name} must be {_TYPE_NAMES[self._types[name]]}")
        return fields


def read_object(request: Request) -> Arguments:
    """Return the JSON object in the body of a request. Raises HTTPError if there is none.

    The guard has checked Content-Type, and the HTTP server the length.
    """
    try:
        fields = json.loads(request.content.read())  # type: ignore[union-attr]  # it is complete
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise HTTPError(BAD_REQUEST, "the body must be a JSON object")
    return fields
