"""Attack a daemon that serves HTTP: through a browser on this host, and by local clients that want to block others.

The attacks on single bytes, and the deadlines, run on a clock in tests/unit/test_web_guard.py and test_web_site.py.
"""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

from echotime.limits.capacity import MAX_HTTP_CONNECTIONS
from tests.support.http_case import HTTPTestCase, ask
from tests.support.plain_clients import connect, read_all

MAX_GROWTH = 3_000_000
"""Bytes of resident memory that an attack may cost."""
CLOSED = (ConnectionResetError, BrokenPipeError)


class AttackTests(HTTPTestCase):
    """Check after each attack that other clients are served."""

    def test_rebinding(self) -> None:
        """A page of another name, which DNS points to this host, is refused on every path and socket."""
        self.start_http()
        token = self.token()
        for where in (self.http, self.where):
            for path in ("/", "/livez", "/readyz", "/metrics", "/api", "/static/x", "//livez", "/%6civez"):
                self.assertEqual(ask(where, path, Host="evil.example", Authorization=token)[0], 421)

    def test_csrf(self) -> None:
        """A POST of another page is refused: as a form, with a foreign origin, and without the token."""
        self.start_http()
        good = {"Authorization": self.token(), "Content_Type": "application/json"}
        for where in (self.http, self.where):
            self.assertEqual(ask(where, "/nothing", "POST", **good)[0], 404)
            self.assertEqual(ask(where, "/nothing", "POST", **good, Origin="http://evil.example")[0], 403)
            self.assertEqual(ask(where, "/nothing", "POST", **good, Sec_Fetch_Site="cross-site")[0], 403)
            self.assertEqual(ask(where, "/nothing", "POST", **(good | {"Content_Type": "text/plain"}))[0], 415)
            self.assertEqual(ask(where, "/nothing", "POST", Content_Type="application/json")[0], 401)
            self.assertEqual(ask(where, "/livez", "OPTIONS", Origin="http://evil.example")[0], 405)

    def test_traversal(self) -> None:
        """No path leads out of the tree of resources."""
        self.start_http()
        for path in (
            "/../../etc/passwd",
            "/static/../../etc/passwd",
            "/static/%2e%2e/%2e%2e/setup.cfg",
            "/static//etc",
        ):
            status, body = ask(self.http, path)
            self.assertEqual(status, 404)
            self.assertNotIn("root:", body)

    def test_oversized(self) -> None:
        """A long body or head is refused before it is received, and needs no memory."""
        daemon = self.start_http()
        before = daemon.resident()
        for _ in range(20):
            with connect(self.where) as sock:
                sock.sendall(b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
                self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 413 "))
            for head in (b"GET /" + b"x" * 100_000, b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, b"\0" * 100_000):
                with connect(self.where) as sock, contextlib.suppress(*CLOSED):
                    sock.sendall(head)
                    self.assertNotIn(b"200 OK", read_all(sock))
        self.assertEqual(ask(self.http)[0], 200)
        self.assertLess(daemon.resident() - before, MAX_GROWTH)
        self.served(daemon)

    def test_idle_connections(self) -> None:
        """Beside 1,000 idle connections, another client is served on the same port, and the echo service goes on."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        daemon = self.start_http("--http-public-metrics")
        idle = []
        for _ in range(1000):
            idle.append(connect(self.where))
            self.addCleanup(idle[-1].close)
        self.assertEqual(ask(self.where), (200, "ok\n"))
        self.assertEqual(ask(self.http), (200, "ok\n"))
        with connect(self.address) as client:
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
        opened = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
        self.assertLess(opened, MAX_HTTP_CONNECTIONS + 60)
        self.served(daemon)

    def test_slow_requests(self) -> None:
        """Requests that never end are not in the way of others. The oldest of them are closed."""
        daemon = self.start_http("--http-public-metrics")
        slow = []
        for _ in range(2 * MAX_HTTP_CONNECTIONS):
            slow.append(connect(self.where))
            self.addCleanup(slow[-1].close)
            slow[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")
        self.assertEqual(ask(self.where), (200, "ok\n"))
        with contextlib.suppress(*CLOSED):
            self.assertEqual(slow[0].recv(1), b"")
        self.served(daemon)

    def test_no_reader(self) -> None:
        """Requests whose responses are not read need no memory: a further request ends the connection."""
        daemon = self.start_http("--http-public-metrics")
        before = daemon.resident()
        with connect(self.where) as sock, contextlib.suppress(*CLOSED):
            for _ in range(1000):
                sock.sendall(b"GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        self.assertEqual(ask(self.where), (200, "ok\n"))
        self.assertLess(daemon.resident() - before, MAX_GROWTH)
        self.served(daemon)

    def test_log(self) -> None:
        """Nothing that a client sends over HTTP is in the log."""
        daemon = self.start_http("--http-public-metrics")
        for _ in range(20):
            ask(self.where, "/secret", User_Agent="secret", Host="secret")
            ask(self.where, "/livez", "HEAD")
            with connect(self.where) as sock:
                sock.sendall(b"secret\r\n\r\nsecret: secret\r\n\r\n")
                read_all(sock)
        ended = self.served(daemon)
        self.assertNotIn("secret", ended.out + ended.err)
        self.assertLess(len(ended.out.splitlines()), 20)
