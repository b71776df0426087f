"""Test --http of the real daemon, over TCP and on Unix sockets. Sockets of systemd are in test_activation.py."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

from tests.support.http_case import HTTPTestCase, ask
from tests.support.plain_clients import connect, one_shot, send_and_read
from tests.support.twistd_process import LIMIT


class HTTPTests(HTTPTestCase):
    """Ask for health, read the token, and start with faulty options."""

    def test_both(self) -> None:
        """Health is served on the Unix socket, and over TCP with the token, whose link the control socket gives."""
        daemon = self.start_http()
        self.wait_until(self.http, "/readyz", 200)
        self.assertEqual(ask(self.http), (200, "ok\n"))
        self.assertEqual(ask(self.where)[0], 401)
        self.assertEqual(ask(self.where, Authorization=self.token()), (200, "ok\n"))
        status, verbose = ask(self.http, "/readyz?verbose")
        self.assertEqual(status, 200)
        self.assertRegex(verbose, r"(?s)\+\]started ok.*TCP 127.0.0.1:\d+: answered in .*UDP 127.0.0.1:\d+: answered")
        host, port = self.where
        token = self.token().removeprefix("Bearer ")
        self.assertEqual(
            self.output("token"),
            f"http://{host}:{port}/#token={token}\nUnix socket: {self.http}\ntoken: {token}\n",
        )
        mode = stat.S_IMODE(self.http.stat().st_mode)
        self.assertEqual(mode, 0o600)
        ended = self.served(daemon)
        self.assertFalse(self.http.exists())
        self.assertNotIn(token, ended.out + ended.err)
        self.assertNotIn("HTTPSite", ended.out)

    def test_half_close(self) -> None:
        """A client that half-closes after its request gets the response, over TCP and on the Unix socket."""
        self.start_http("--http-public-metrics")
        for path in ("/livez", "/metrics", "/static/uPlot.iife.min.js") * 10:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            with socket.socket(socket.AF_UNIX) as local:
                local.settimeout(LIMIT)
                local.connect(str(self.http))
                answers = one_shot(self.where, request), send_and_read(local, request)
            for head, _, body in (each.partition(b"\r\n\r\n") for each in answers):
                self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n"), head)
                self.assertIn(b"\r\nContent-Length: %d\r\n" % len(body), head + b"\r\n")

    def test_no_http(self) -> None:
        """Without --http there is no token, and twisted.web is not loaded."""
        daemon = self.start_daemon()
        ended = self.control("token")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("HTTP is not served; expected a daemon with --http", ended.stderr.decode())
        maps = Path(f"/proc/{daemon.process.pid}/maps").read_text(encoding="ascii", errors="replace")
        self.assertNotIn("twisted/web", maps)

    def test_public_metrics(self) -> None:
        """With --http-public-metrics health needs no token over TCP."""
        self.start_http("--http-public-metrics")
        self.assertEqual(ask(self.where), (200, "ok\n"))
        self.assertEqual(ask(self.where, "/api")[0], 401)

    def test_stop_delay(self) -> None:
        """In the stop delay and while the daemon drains it is live, and not ready."""
        daemon = self.start_http("--stop-delay", "1h", "--drain-timeout", "1h")
        self.wait_until(self.http, "/readyz", 200)
        with connect(self.address) as client:
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
            daemon.signal()
            self.wait_until(self.http, "/readyz", 503)
            self.assertEqual(ask(self.http)[0], 200)
            self.assertIn("ports are closed in", ask(self.http, "/readyz")[1])
            daemon.signal()
            self.wait_for(lambda: "the ports are closed\n" in ask(self.http, "/readyz")[1])
            self.assertEqual(ask(self.http)[0], 200)
        self.assertEqual(daemon.wait().status, -signal.SIGTERM)

    def test_refused_options(self) -> None:
        """Addresses that other hosts can reach, faulty paths, and options without --http are refused."""
        ended = self.refused(
            *("--http", "0.0.0.0:0", "--http", "[::]:0", "--http", "/nowhere/x", "--http", "x", "--http", "systemd"),
        )
        self.assertEqual(ended.status, 2)
        reason = "other hosts can reach this address; expected one of loopback, or --http-allow-remote"
        self.assertIn(f"--http 0.0.0.0:0: {reason}", ended.err)
        self.assertIn(f"--http [::]:0: {reason}", ended.err)
        self.assertIn("--http /nowhere/x: there is no directory '/nowhere'", ended.err)
        self.assertIn("or the PATH of a Unix socket, with a slash", ended.err)
        self.assertIn("--http systemd: the name is missing; expected systemd:NAME", ended.err)
        ended = self.refused("--http-allow-remote", "--http-public-metrics")
        self.assertIn("--http-allow-remote requires --http", ended.err)
        self.assertIn("--http-public-metrics requires --http", ended.err)

    def test_taken(self) -> None:
        """An address or path that another process uses ends the start with status 1."""
        self.start_http()
        for each in (f"127.0.0.1:{self.where[1]}", str(self.http)):
            ended = self.refused("--tcp", "127.0.0.1:0", "--http", each, "--http-public-metrics")
            self.assertEqual(ended.status, 1)
            self.assertRegex(ended.err, r"Address already in use|another process listens on it")
        self.assertEqual(ask(self.http)[0], 200)

    def test_allow_remote(self) -> None:
        """With --http-allow-remote every address is served, and the link has the name of this host."""
        daemon = self.start_daemon("--http", "0.0.0.0:0", "--http-allow-remote")
        port = daemon.address("HTTP")[1]
        name = os.uname().nodename
        (link,) = self.rows("token")["links"]
        self.assertTrue(link.startswith(f"http://{name}:{port}/#token="), link)
        for host in (name, "192.0.2.1", "localhost"):
            self.assertEqual(ask(("127.0.0.1", port), Host=f"{host}:{port}", Authorization=self.token())[0], 200)
        self.assertEqual(ask(("127.0.0.1", port), Host="evil.example", Authorization=self.token())[0], 421)

    def test_reload(self) -> None:
        """A reload keeps the listeners, although the directory of the Unix socket is gone."""
        other = self.directory / "other"
        other.mkdir()
        daemon = self.start_http("--http", str(other / "http"))
        daemon.line("listening on HTTP socket .*other")
        (other / "http").unlink()
        other.rmdir()
        daemon.signal(signal.SIGHUP)
        daemon.line("reload")
        self.assertEqual(ask(self.http)[0], 200)
        self.assertNotIn("there is no directory", daemon.text())
