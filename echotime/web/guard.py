"""Decide which HTTP requests are served.

A web page in a browser on this host can send requests to the daemon, too. Three rules keep it out:

- Host names an IP address, ``localhost`` or this host. A page cannot have one of these names by DNS rebinding. Health
  by HTTP/1.0 needs no Host.
- Reading over TCP, and every write, needs a token, which no page has. There are no cookies that a browser would add.
- A write is a POST of JSON from the same origin (Fetch metadata, https://www.w3.org/TR/fetch-metadata/).
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from dataclasses import dataclass, field

from twisted.internet.address import UNIXAddress
from twisted.web import http
from twisted.web.http import Request

TOKEN_FRAGMENT = "#token="
"""What a link ends with before the token. A browser never sends the fragment of a link."""
PUBLIC = frozenset({b"metrics", b"livez", b"readyz"})
"""First path elements that need no token with --http-public-metrics."""
_SHELL = frozenset({b"", b"static"})
"""First path elements that never need a token: the page, which asks for its data with the token of its link."""
_HEALTH = frozenset({b"livez", b"readyz"})
"""First path elements that a request by HTTP/1.0 may have without a Host, as a load balancer's check does.

A browser sends a Host with every request.
"""
_READ_ONLY = _SHELL | PUBLIC
"""First path elements below which nothing can be changed."""
MISDIRECTED_REQUEST = 421
"""Status of a request for a host that the server does not answer for (RFC 9110 section 15.5.20)."""
_READING, _WRITING = ("GET", "HEAD"), "POST"
_TOKEN_BYTES = 32
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^:\[\]@/]+))(?::[0-9]{0,5})?")
"""A Host header (RFC 9110 section 7.2), with the port or without."""
HEADERS = {
    b"Cache-Control": b"no-store",
    # uPlot sets styles of its elements
    b"Content-Security-Policy": b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"Cross-Origin-Opener-Policy": b"same-origin",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Referrer-Policy": b"no-referrer",
    b"X-Content-Type-Options": b"nosniff",
    b"X-Frame-Options": b"DENY",
}
"""Headers of every response."""


@dataclass(frozen=True)
class Refusal:
    """Hold the status and the reason of a request that is not served."""

    status: int
    reason: str


@dataclass(frozen=True)
class GuardPolicy:
    """Check the host, the token and the origin of a request. The token is kept in memory only."""

    public_metrics: bool = False
    """True if PUBLIC needs no token on TCP."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)
    host_name: str = field(default_factory=lambda: os.uname().nodename)
    """The name of this host, which a Host header may have."""

    def refusal(self, path: bytes, request: Request) -> Refusal | None:
        """Return why a request is not served, None if it is. `path` is the first element of its path."""
        hosts = _header(request, b"Host")
        needs_host = path not in _HEALTH or request.clientproto != b"HTTP/1.0"
        if len(hosts) > 1 or (needs_host and not hosts):
            return Refusal(http.BAD_REQUEST, "expected one Host header")
        if hosts and not self._is_known_host(hosts[0]):
            return Refusal(MISDIRECTED_REQUEST, f"unknown Host; expected an IP address, localhost or {self.host_name}")
        method = request.method.decode("latin-1")
        allowed = _READING if path in _READ_ONLY else (*_READING, _WRITING)
        if method not in allowed:
            request.setHeader(b"Allow", ", ".join(allowed).encode())
            return Refusal(http.NOT_ALLOWED, f"expected {' or '.join(allowed)}")
        if method == _WRITING:
            return self._write_refusal(hosts[0], request)
        needs_token = path not in _SHELL and not (self.public_metrics and path in PUBLIC) and not _is_local(request)
        return self._token_refusal(request) if needs_token else None

    def _is_known_host(self, header: str) -> bool:
        if not (found := _HOST.fullmatch(header)):
            return False
        host = found["v6"] or found["name"]
        if host.lower() in {"localhost", self.host_name.lower()}:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True

    def _write_refusal(self, host: str, request: Request) -> Refusal | None:
        site, origin = _header(request, b"Sec-Fetch-Site"), _header(request, b"Origin")
        # a client that is no browser sends neither
        if site not in ([], ["none"], ["same-origin"]) or origin not in ([], [f"http://{host}"], [f"https://{host}"]):
            return Refusal(http.FORBIDDEN, "cross-site request")
        content_type = _header(request, b"Content-Type")
        if len(content_type) != 1 or content_type[0].partition(";")[0].strip().lower() != "application/json":
            return Refusal(http.UNSUPPORTED_MEDIA_TYPE, "expected Content-Type: application/json")
        return self._token_refusal(request)

    def _token_refusal(self, request: Request) -> Refusal | None:
        for given in _header(request, b"Authorization")[:1]:
            scheme, _space, token = given.partition(" ")
            if scheme.lower() == "bearer" and secrets.compare_digest(token.strip().encode(), self.token.encode()):
                return None
        request.setHeader(b"WWW-Authenticate", b'Bearer realm="echotime"')
        return Refusal(http.UNAUTHORIZED, "expected Authorization: Bearer TOKEN; echotime control token prints it")


def _header(request: Request, name: bytes) -> list[str]:
    """Return the values of a header. Every byte becomes one character, so that none is refused or lost."""
    return [each.decode("latin-1") for each in request.requestHeaders.getRawHeaders(name, [])]


def _is_local(request: Request) -> bool:
    """Return True for a request over a Unix socket, whose file decides who may connect."""
    return isinstance(request.getHost(), UNIXAddress)
