"""Test web/guard.py and root.py: which requests are served, and what every response says to a browser."""

from __future__ import annotations

import json
import sys

import pytest

from echotime.web.guard import GuardPolicy
from tests.support.http_exchange import TCP, UNIX, Harness, status_of

PATHS = ("/livez", "/readyz", "/api", "/api/x", "/nothing", "//api", "/%61pi")


@pytest.fixture
def harness() -> Harness:
    """Provide a site with the guard."""
    return Harness()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil@localhost", "", "[::1].evil", "1.2.3", "localhost:x", "[]"]
)
def test_rebinding(harness: Harness, path: str, host: str) -> None:
    """A request for another host is refused on every path, also below a child that putChild added."""
    for on in (UNIX, TCP):
        assert harness.status(path, on=on, Host=host) == (421 if host else 400)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9180", "[::1]", "[::1]:9180", "192.0.2.1", "here:9180"]
)
def test_known_hosts(harness: Harness, host: str) -> None:
    """Addresses, localhost and the name of this host are served. DNS cannot point them elsewhere."""
    assert harness.status(Host=host) == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/readyz?verbose"])
def test_health_without_host(path: str) -> None:
    """A health check by HTTP/1.0 needs no Host, which HAProxy does not send. The token is needed as ever."""
    public = Harness(GuardPolicy(public_metrics=True))
    request = f"GET {path} HTTP/1.0\r\n\r\n".encode()
    assert status_of(public.send(request, TCP)) == 200
    assert status_of(public.send(request.replace(b"GET", b"HEAD"), TCP)) == 200
    assert status_of(public.send(request.replace(b"GET", b"POST"), TCP)) == 405
    private = Harness()
    assert status_of(private.send(request, UNIX)) == 200
    assert status_of(private.send(request, TCP)) == 401


@pytest.mark.parametrize(
    ("path", "version", "host", "status"),
    [
        ("/readyz", "1.1", "", 400),
        ("/readyz", "1.0", "Host: evil.example\r\n", 421),
        ("/readyz", "1.0", "Host: localhost\r\nHost: localhost\r\n", 400),
        *((path, "1.0", "", 400) for path in ("/", "/metrics", "/api", "/static/app.js", "//readyz", "/x/../readyz")),
    ],
)
def test_other_requests_without_host(path: str, version: str, host: str, status: int) -> None:
    """Every other request needs a Host: HTTP/1.1 has one, and so has each request of a browser."""
    public = Harness(GuardPolicy(public_metrics=True))
    request = f"GET {path} HTTP/{version}\r\n{host}\r\n".encode()
    assert [status_of(public.send(request, on)) for on in (TCP, UNIX)] == [status, status]


def test_one_host(harness: Harness) -> None:
    """A request with two Host headers is refused, because a proxy may have read the other one."""
    assert status_of(harness.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer x", "Basic {token}", "Bearer {token}x", "{token}", "Bearer \xff"]
)
def test_token_over_tcp(harness: Harness, given: str) -> None:
    """Reading over TCP needs the token, which only the exact one is."""
    given = given.format(token=harness.policy.token)
    for path in PATHS:
        # the first element of //api is empty, as that of the page is
        assert harness.status(path, Authorization=given) == (404 if path == "//api" else 401)
    assert harness.status(Authorization=f"bearer  {harness.policy.token} ") == 200


def test_no_token(harness: Harness) -> None:
    """Reading needs no token on a Unix socket. The shell of the page never needs one."""
    assert harness.status(on=UNIX, Authorization="") == 200
    for path, status in {"/": 200, "/static/app.js": 200, "/static/x": 404, "/static/app.js/x": 404}.items():
        assert harness.status(path, Authorization="") == status


def test_public_metrics() -> None:
    """With --http-public-metrics, metrics and health need no token, and nothing else."""
    public = Harness(GuardPolicy(public_metrics=True))
    assert [public.status(path, Authorization="") for path in ("/metrics", "/livez", "/readyz")] == [200, 200, 200]
    assert public.status(Authorization="") == 401
    assert public.status("/api", "POST", Authorization="") == 401


def test_tokens_differ() -> None:
    """Each daemon has a token of its own, of 256 bits, which does not appear in a repr."""
    first, second = GuardPolicy(), GuardPolicy()
    assert first.token != second.token
    assert len(first.token) == 43
    assert first.token not in repr(first)


def test_write(harness: Harness) -> None:
    """A write is a POST of JSON with the token, also on a Unix socket."""
    assert harness.status(method="POST", body=b"{}") == 200
    assert harness.status(method="POST", Content_Type="application/json; charset=utf-8") == 200
    assert harness.status(method="POST", on=UNIX, Authorization="") == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "http://localhost", "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_cross_site_write(harness: Harness, headers: dict[str, str]) -> None:
    """A write from another origin is refused, although it has the token."""
    assert harness.status("/api", "POST", b"", TCP, **headers) == 403


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"]
)
def test_form(harness: Harness, kind: str) -> None:
    """A form of another page, which a browser sends without asking, is refused."""
    # on Python 3.10 Twisted refuses a multipart form without a boundary by itself
    expected = 400 if kind == "multipart/form-data" and sys.version_info < (3, 11) else 415
    assert harness.status(method="POST", body=b"a=1", Content_Type=kind) == expected


def test_same_origin_write(harness: Harness) -> None:
    """A write of the page itself is served."""
    assert harness.status(method="POST", Origin="http://localhost", Sec_Fetch_Site="same-origin") == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "FOO"])
def test_methods(harness: Harness, method: str) -> None:
    """Other methods are refused. Without an answer to OPTIONS, no other origin may send headers (CORS)."""
    assert harness.status(method=method) == 405


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", ["/", "/static/app.js", "/metrics", "/livez", "/readyz"])
def test_read_only(harness: Harness, path: str, method: str) -> None:
    """A page that can only be read refuses a write by its method, whatever else the request has."""
    for headers in ({}, {"Authorization": "", "Content_Type": ""}, {"Origin": "http://evil.example"}):
        assert harness.status(path, method, b"", TCP, **headers) == 405
    response = harness.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert b"\r\nAllow: GET, HEAD\r\n" in response


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET /api/status", ["Host: evil.example"], 421),
        ("GET /api/status", [], 400),
        ("GET /api/status", ["Host: localhost"], 401),
        ("PUT /api/status", ["Host: localhost"], 405),
        ("POST /api/set", ["Host: localhost"], 415),
        ("POST /api/set", ["Host: localhost", "Origin: http://evil"], 403),
        ("GET /api/nothing", ["Host: localhost", "Authorization: Bearer {token}"], 404),
        ("GET /api", ["Host: localhost", "Authorization: Bearer {token}"], 404),
    ],
)
def test_refused_in_json(request_line: str, headers: list[str], status: int) -> None:
    """Every refusal below /api is JSON. Elsewhere it is a line of text."""
    site = Harness(echo=())
    head = "\r\n".join([f"{request_line} HTTP/1.1", *headers, "", ""]).format(token=site.policy.token)
    response = site.send(head.encode())
    assert status_of(response) == status
    assert b"\r\nContent-Type: application/json\r\n" in response
    assert list(json.loads(response.partition(b"\r\n\r\n")[2])) == ["error"]
    assert b"\r\nContent-Type: text/plain" in site.send(head.replace("/api", "/nothing", 1).encode())


@pytest.mark.parametrize(
    "path",
    [
        "/../etc/passwd",
        "/static/../api",
        "/static/..%2fapi",
        "/%2e%2e/api",
        "/api/../../x",
        "/static/%00",
        "http://evil/api",
    ],
)
def test_traversal(harness: Harness, path: str) -> None:
    """A path is never resolved: two dots are a name that does not exist, and the first element decides on the token."""
    found = harness.status(path, Authorization="")
    assert found in {401, 404}


@pytest.mark.parametrize("path", ["/", "/livez", "/nothing", "/api"])
def test_headers(harness: Harness, path: str) -> None:
    """Every response has the headers for browsers, also a refusal."""
    for host in ("localhost", "evil"):
        response = harness.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).lower()
        assert b"content-security-policy: default-src 'none';" in response
        assert b"frame-ancestors 'none'" in response
        for line in (b"x-content-type-options: nosniff", b"referrer-policy: no-referrer", b"cache-control: no-store"):
            assert line in response
        assert b"access-control" not in response
        assert b"set-cookie" not in response


def test_no_reflection(harness: Harness) -> None:
    """A refusal does not repeat what was sent."""
    response = harness.send(b"GET /<script>x HTTP/1.1\r\nHost: <script>x\r\n\r\n")
    assert b"<script>" not in response
    assert b"content-type: text/plain" in response.lower()
