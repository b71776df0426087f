"""Test `echotime path` against listeners and relays that misbehave."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time

from echotime.control.commands import Status
from tests.support.control_case import ControlTestCase
from tests.support.path_case import QUICK, PathCase
from tests.support.plain_clients import connect
from tests.support.tool_case import CHINESE
from tests.support.twistd_process import LIMIT

TESTS = (
    *("served", "address", "syn", "half-close", "reset to client", "reset to server", "timing", "data", "idle"),
    *("late reply", "udp", "udp ports", "udp header", "udp empty", "udp order", "udp sizes"),
)


TCP_ONLY = {each for each in TESTS if not each.startswith("udp")}


class OperatorTests(ControlTestCase):
    """Run the tool against a daemon with an operator."""

    def test_operator_without_reply(self) -> None:
        """A message that an operator has not answered is an incomplete echo."""
        daemon = self.start_daemon("--behave", "127.0.0.1:0=client")
        behaving = "127.0.0.1:" + daemon.line(r"TCP 127.0.0.1:(\d+), which misbehaves")[1]
        self.start("control", "--socket", str(self.path), "watch", "--json")
        self.wait_for(lambda: self.ask(Status)["operators"] > 0)
        for server in ("{}:{}".format(*self.address), behaving):
            with self.subTest(server):
                ended = self.tool("path", "--json", *QUICK, server)
                self.assertEqual(ended.returncode, 1)
                (finding,) = json.loads(ended.stdout)["findings"]
                self.assertEqual((finding["id"], finding["test"]), ("echo-incomplete", "served"))
                self.assertIn("operator", finding["cause"])


class PathTests(PathCase):
    """Run the tool against listeners on loopback."""

    def test_clean(self) -> None:
        """Over loopback all tests are carried out, and nothing is found."""
        server = self.behaving("client")
        found = self.path(server)
        self.assertEqual([each["test"] for each in found["tests"]], list(TESTS))
        self.assertEqual([each for each in found["tests"] if each["result"] != "ok"], [])
        self.assertEqual((found["server"], found["address"], bool(found["version"])), (server, server, True))

    def test_table(self) -> None:
        """The table has a row for each test, and its last line the counts."""
        ended = self.tool("path", *QUICK, self.behaving("client"))
        lines = ended.stdout.decode().splitlines()
        self.assertRegex(lines[0], r"^TEST +RESULT +SEEN$")
        self.assertEqual([each[:17].strip() for each in lines[1 : len(TESTS) + 1]], list(TESTS))
        self.assertRegex(lines[-1], rf"^127\.0\.0\.1:\d+: tests: {len(TESTS)}, findings: 0, not tested: 0, \d+\.\d s$")

    def test_ordinary_server(self) -> None:
        """With any other echo server the tests that it does not allow say what would allow them."""
        for args in ([], ["--ack", ""]):
            daemon = self.echotime(*args)
            _host, port = daemon.address("TCP")
            found = self.path(f"127.0.0.1:{port}")
            self.assertEqual(self.ids(found), set())
            self.assertLessEqual({"half-close", "data", "idle"}, set(TESTS) - self.untested(found))
            reasons = {each["seen"] for each in found["tests"] if each["test"] in {"syn", "address", "timing"}}
            self.assertEqual(reasons, {"the server needs --behave ADDRESS=client"})

    def test_varying_answers(self) -> None:
        """Answers that vary with the connection, the message or the time are no changed data."""
        for name in ("connection", "message", "time"):
            with self.subTest(name):
                found = self.path(self.behaving("client", "--reply", rf"\{{{name}}}"))
                self.assertEqual(self.ids(found), set())
                reasons = {each["test"]: each["seen"] for each in found["tests"] if each["result"] == "untested"}
                self.assertEqual(set(reasons), {"half-close", "data", "late reply"})
                self.assertEqual(
                    set(reasons.values()), {"the server's answers vary; this test needs a constant --ack and --reply"}
                )

    def test_timeouts_of_the_server(self) -> None:
        """A connection that the server ends by its own timeout is no finding."""
        for option, reason in (("--idle-timeout", "idle timeout"), ("--session-timeout", "session timeout")):
            with self.subTest(option):
                found = self.path(self.behaving("client", option, "1"))
                self.assertEqual(self.ids(found), set())
                seen = {each["test"]: each["seen"] for each in found["tests"]}
                self.assertEqual(seen["late reply"], f"the server ended the connection itself: {reason}")

    def test_server_goes_away(self) -> None:
        """A server that ends during the run is one error with the status of TCP, and no finding about the path."""
        for number in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(number):
                daemon = self.echotime("--behave", "127.0.0.1:0=client")
                server = "127.0.0.1:" + daemon.line(r"TCP 127.0.0.1:(\d+), which misbehaves")[1]
                child = self.start("path", "--json", *QUICK, server)
                daemon.line("behavior: reset_peer")
                daemon.signal(number)
                out, err = child.communicate(timeout=2 * LIMIT)
                daemon.wait()
                found = json.loads(out)
                self.assertEqual((child.returncode, found["findings"]), (3, []))
                self.assertIn("connection refused", found["error"])
                self.assertEqual(err.count(b"\n"), 1)
                results = {each["test"]: (each["result"], each["seen"]) for each in found["tests"]}
                self.assertEqual(results["half-close"][0], "ok")
                gone = "the server went away during the run: Connection refused (ECONNREFUSED)"
                for name in ("data", "udp", "udp sizes"):
                    self.assertEqual(results[name], ("untested", gone))
                self.assertEqual({result for result, _seen in results.values()}, {"ok", "untested"})

    def test_cut_report(self) -> None:
        """An echotime whose answer ends within its report is one."""
        report = b'{"echotime": "1.0", "connection": 1, "peer": "127.0.0.1:1", "via": "", "server"'

        def cut(sock: socket.socket) -> None:
            sock.recv(100)
            sock.sendall(report)

        server = self.tcp_server(cut)
        (finding,) = self.path(server)["findings"]
        self.assertEqual((finding["id"], finding["test"]), ("data-cut", "served"))
        self.assertIn(f"the answer of an echotime ended after {len(report)} bytes", finding["seen"])

    def test_missing_proxy_header(self) -> None:
        """A server that expects a PROXY header looks like a handshake without a service."""
        (finding,) = self.path(self.behaving("client", "--proxy-protocol", "127.0.0.1"))["findings"]
        self.assertEqual(finding["id"], "accept-only")
        self.assertIn("PROXY header", finding["cause"])

    def test_accept_only(self) -> None:
        """A connection that is accepted and not answered is a finding, and no other test of TCP is carried out."""
        for behavior in ("timeout", "close_first"):
            with self.subTest(behavior):
                found = self.path(self.behaving(behavior))
                self.assertEqual(self.ids(found), {"accept-only"})
                self.assertEqual([each["test"] for each in found["tests"]], list(TESTS))
                self.assertLessEqual(TCP_ONLY - {"served"}, self.untested(found))

    def test_udp_only(self) -> None:
        """UDP is tested although TCP is refused, and the status is that of the refusal."""
        _host, port = self.echotime().address("UDP")
        ended = self.tool("path", "--json", *QUICK, f"127.0.0.1:{port}")
        found = json.loads(ended.stdout)
        self.assertEqual(ended.returncode, 3)
        self.assertIn("connection refused", ended.stderr.decode())
        self.assertIn("connection refused", found["error"])
        self.assertEqual(self.untested(found), TCP_ONLY | {"udp header"})

    def test_cut_at_once(self) -> None:
        """An echo that ends within the first message is cut."""
        (finding,) = self.path(self.behaving("limit_data:bytes=20"))["findings"]
        self.assertEqual((finding["id"], finding["test"]), ("data-cut", "served"))
        self.assertEqual(finding["seen"], "FIN after 23 bytes sent and 20 received")

    def test_misbehaving_servers(self) -> None:
        """A fault of the server looks like one of the path."""
        for behavior, finding in (
            ("limit_data:bytes=5000", "data-cut"),
            ("corrupt:offset=5000", "data-changed"),
        ):
            with self.subTest(behavior):
                self.assertIn(finding, self.ids(self.path(self.behaving(behavior))))

    def test_lumps(self) -> None:
        """Bytes that a relay holds back for 50 ms are a finding."""
        found = self.path(self.relay(self.behaving("client"), b"trickle", 0.05))
        self.assertIn("data-in-lumps", self.ids(found))

    def test_idle_limit(self) -> None:
        """A relay that closes idle connections is a finding, with the time."""
        found = self.path(self.relay(self.behaving("client"), b"", 0, idle=0.5), "--idle-limit", "3")
        (finding,) = (each for each in found["findings"] if each["test"] == "idle")
        self.assertEqual(finding["id"], "idle-closed")
        self.assertTrue(0.3 <= finding["values"]["seconds"] < 3)

    def relay(self, server: str, first: bytes, nap: float, idle: float | None = None) -> str:
        """Return HOST:PORT of a relay.

        It pauses after each read from the server, on connections that begin with `first`. After `idle` seconds
        without data from the client it closes.
        """
        host, _colon, port = server.rpartition(":")
        listener = socket.create_server(("127.0.0.1", 0))

        def pump(source: socket.socket, target: socket.socket, seconds: float) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
                    time.sleep(seconds)
                target.shutdown(socket.SHUT_WR)
                return
            for each in (source, target):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        def serve(client: socket.socket) -> None:
            with client, connect((host, int(port))) as upstream, contextlib.suppress(OSError):
                client.settimeout(idle)
                begin = client.recv(65536)
                upstream.sendall(begin)
                back = threading.Thread(target=pump, args=(upstream, client, nap if begin.startswith(first) else 0))
                back.start()
                pump(client, upstream, 0)
                back.join(LIMIT)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

        def stop() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

        self.addCleanup(stop)
        return "{}:{}".format(*listener.getsockname())

    def test_failures(self) -> None:
        """A server that cannot be reached has a status of its own, and one that is no echo server has 1."""
        for server, status, text in (
            (self.closed_port(), 3, "connection refused"),
            ("name.invalid", 6, "name not found"),
            (
                self.tcp_server(lambda sock: sock.sendall(b"SSH-2.0-x\n")),
                1,
                "not an echo server: it sent 'SSH-2.0-x\\n'",
            ),
        ):
            ended = self.tool("path", "--json", *QUICK, server)
            self.assertEqual(ended.returncode, status)
            self.assertIn(text, ended.stderr.decode())
            if status == 6:
                self.assertEqual(ended.stdout, b"")
            else:
                found = json.loads(ended.stdout)
                self.assertIn(text, found["error"])
            if status == 3:
                seen = {each["test"]: each["seen"] for each in found["tests"]}
                self.assertIn("refused (ICMP)", seen["udp"])
        self.assertEqual(self.tool("path").returncode, 2)
        self.assertEqual(self.tool("path", "--idle-limit", "0", "127.0.0.1").returncode, 2)

    def test_endless_answers(self) -> None:
        """A server that sends for ever does not keep the tool, nor fill its memory."""

        def send(sock: socket.socket) -> None:
            while True:
                sock.sendall(b"x" * 65536)

        self.assertEqual(self.tool("path", *QUICK, self.tcp_server(send)).returncode, 1)

    def test_malformed_reports(self) -> None:
        """A report without the addresses is none."""
        ended = self.tool("path", *QUICK, self.tcp_server(lambda sock: sock.sendall(b'{"echotime": "1"}\n')))
        self.assertEqual(ended.returncode, 1)
        self.assertNotIn(b"internal error", ended.stderr)

    def test_interrupt(self) -> None:
        """On a terminal it shows how far it is. Ctrl-C ends it by SIGINT, with what was found by then."""
        server = self.behaving("client")
        shown = self.at_terminal(
            "path", "--idle-limit", "1h", server, typed=[(b" of %d tests, " % len(TESTS), b"\x03")]
        )
        self.assertRegex(shown.decode(), r"(?s)served +ok .*idle +not tested +interrupted.*, findings: 0, not tested: ")
        self.assertIn(self.status, {-signal.SIGINT, 128 + signal.SIGINT})

    def test_chinese(self) -> None:
        """Texts are translated, and names are not."""
        found = self.path(self.behaving("timeout"), language=CHINESE)
        (finding,) = found["findings"]
        self.assertEqual((finding["id"], finding["test"]), ("accept-only", "served"))
        self.assertIn("握手", finding["means"])
