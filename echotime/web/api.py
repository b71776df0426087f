"""The JSON resources of the page. They call what the control socket calls, so both have the same rules."""

from __future__ import annotations

import gettext
from functools import cache
from typing import Any

from twisted.web.http import BAD_REQUEST
from twisted.web.resource import Resource
from twisted.web.server import Request

from echotime.control.backend import CONNECTION_COLUMNS
from echotime.control.commands import MAX_REPLY_BYTES, Rows
from echotime.control.daemon_text import NOTES, PARTS, TEXTS
from echotime.control.desk import ReplyDesk
from echotime.i18n.language import DIRECTORY, DOMAIN
from echotime.logger import Logger
from echotime.operators.encode import InvalidReply, encode_reply
from echotime.sockopt import assignment
from echotime.web.events import EventsResource, message_text
from echotime.web.json_resource import Arguments, Command, HTTPError, Query
from echotime.web.operator_name import operator_name
from echotime.web.responses import Folder
from echotime.web.state import WebState
from echotime.web.status import read_status
from echotime.wire.escape import sanitize

MAX_CONNECTION_ROWS = 200
"""Connections in one response, at most."""
_MAX_QUESTIONS, _MAX_SOCKOPT_ROWS = 200, 1000
_LANGUAGES = ("en", "zh_CN")


class API:
    """Run the requests of the page on the daemon."""

    _log = Logger()

    def __init__(self, state: WebState) -> None:
        self._state = state
        self._desk = ReplyDesk(state.queue, state.reactor)

    def status(self, request: Request, arguments: Arguments) -> Any:
        """Return the status of the daemon, and `you`, the name of the operator who asks."""
        return {**read_status(self._state), "you": operator_name(request)}

    def connections(self, request: Request, arguments: Arguments) -> Any:
        """Return the first connections by a column, and the number of all."""
        limit, order = _integer(arguments, "limit", 1, MAX_CONNECTION_ROWS), arguments["order"]
        if order not in ("asc", "desc"):
            raise HTTPError(BAD_REQUEST, "order must be asc or desc")
        if (sort := arguments["sort"]) not in CONNECTION_COLUMNS:
            raise HTTPError(BAD_REQUEST, f"sort must be one of {', '.join(CONNECTION_COLUMNS)}")
        rows = self._state.backend.top_connections(sort, limit, descending=order == "desc")
        return {"rows": rows, "total": len(self._state.factory.connections)}

    def questions(self, request: Request, arguments: Arguments) -> Any:
        """Return the oldest pending questions, with their messages as text."""
        rows, more = self._desk.questions(0, _MAX_QUESTIONS)
        for row in rows:
            row["message"] = message_text(row["message"], row["size"], self._state.encoding)
        return {"rows": rows, "more": more}

    def sockopts(self, request: Request, arguments: Arguments) -> Any:
        """Return the socket options of a target: the requested ones, the named ones, or all."""
        names = [each for each in arguments["names"].split(",") if each]
        rows: Rows = self._state.backend.sockopts(arguments["target"], names)
        return {"rows": rows[:_MAX_SOCKOPT_ROWS], "more": len(rows) > _MAX_SOCKOPT_ROWS}

    def explain(self, request: Request, arguments: Arguments) -> Any:
        """Return what the catalogue says about a socket option."""
        try:
            option = assignment.lookup(arguments["name"])
        except ValueError as error:
            raise HTTPError(BAD_REQUEST, str(error)) from None
        translate = _catalogue(_language(arguments)).gettext
        texts = {"meaning": option.meaning, "use": option.use, "caveat": option.caveat}
        return {
            "name": option.name,
            "example": option.example,
            "settable": option.settable,
            "deadline": translate(option.set_deadline.value),
            # the catalogue's header is the translation of the empty text
            **{name: translate(text) if text else "" for name, text in texts.items()},
        }

    def texts(self, request: Request, arguments: Arguments) -> Any:
        """Return the daemon's own texts in a language, each with its fields, so that the page can translate events."""
        translate = _catalogue(_language(arguments)).gettext
        return {each: translate(each) for each in (*TEXTS, *NOTES, *PARTS)}

    def answer(self, request: Request, arguments: Arguments) -> Any:
        r"""Reply to a question with text, or with `raw` with text whose escapes such as ``\n`` are replaced."""
        try:
            reply = encode_reply(arguments["reply"], self._state.encoding, raw=arguments.get("raw", False))
        except InvalidReply as error:
            raise HTTPError(BAD_REQUEST, str(error)) from None
        if len(reply) > MAX_REPLY_BYTES:
            raise HTTPError(BAD_REQUEST, f"a reply must not exceed {MAX_REPLY_BYTES} bytes")
        return {"peer": self._desk.answer(arguments["number"], reply, operator_name(request))}

    def close(self, request: Request, arguments: Arguments) -> Any:
        """Close a connection after its pending output."""
        return {"peer": self._state.backend.close_connection(arguments["number"], orderly=True)}

    def reset(self, request: Request, arguments: Arguments) -> Any:
        """Reset a connection at once, whatever output is pending."""
        return {"peer": self._state.backend.close_connection(arguments["number"], orderly=False)}

    def set_option(self, request: Request, arguments: Arguments) -> Any:
        """Set a socket option, ``NAME=VALUE``, on the live sockets of a target."""
        target, text = arguments["target"], arguments["assignment"]
        rows = self._state.backend.set_option(target, text)
        self._log.info(
            "http: {name} set {target} {what}", name=operator_name(request), target=target, what=sanitize(text)
        )
        return {"rows": rows}


def build_api(state: WebState) -> Resource:
    """Return the resource `api` with a child for each request."""
    api, root = API(state), Folder()
    children: dict[bytes, Resource] = {
        b"status": Query({}, api.status),
        b"connections": Query({"sort": "number", "order": "asc", "limit": str(MAX_CONNECTION_ROWS)}, api.connections),
        b"questions": Query({}, api.questions),
        b"sockopts": Query({"target": "tcp", "names": ""}, api.sockopts),
        b"explain": Query({"name": "", "lang": "en"}, api.explain),
        b"texts": Query({"lang": "en"}, api.texts),
        b"answer": Command(api.answer, {"number": int, "reply": str}, {"raw": bool}),
        b"close": Command(api.close, {"number": int}),
        b"reset": Command(api.reset, {"number": int}),
        b"set": Command(api.set_option, {"target": str, "assignment": str}),
        b"events": EventsResource(state),
    }
    for name, child in children.items():
        root.putChild(name, child)
    return root


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, str(DIRECTORY), [language], fallback=True)


def _language(arguments: Arguments) -> str:
    if arguments["lang"] not in _LANGUAGES:
        raise HTTPError(BAD_REQUEST, f"lang must be {' or '.join(_LANGUAGES)}")
    return str(arguments["lang"])


def _integer(arguments: Arguments, name: str, low: int, high: int) -> int:
    text = arguments[name]
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(high)) and low <= int(text) <= high):
        raise HTTPError(BAD_REQUEST, f"{name} must be {low} to {high}")
    return int(text)
