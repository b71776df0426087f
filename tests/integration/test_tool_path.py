"""Test `echotime path` against listeners that misbehave, and through networks that do."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from typing import Any

from tests.support.path_page import documented
from tests.support.plain_clients import connect
from tests.support.tool_case import CHINESE, ENGLISH, ToolTestCase
from tests.support.twistd_process import LIMIT
from tests.support.veth_pair import CLIENT, SERVER, Cable

TESTS = (
    *("served", "address", "syn", "half-close", "reset to client", "reset to server", "timing", "data", "idle"),
    *("late reply", "udp", "udp ports", "udp header", "udp empty", "udp order", "udp sizes"),
)
QUICK = ("--idle-limit", "0.2")


class _Path(ToolTestCase):
    """Run the tool, and read its JSON."""

    def path(self, server: str, *args: str, language: dict[str, str] = ENGLISH) -> dict[str, Any]:
        """Return what `path --json` prints. Assert that its status tells if there are findings."""
        ended = self.tool("path", "--json", *QUICK, *args, server, language=language)
        self.assertEqual(ended.stderr, b"")
        found: dict[str, Any] = json.loads(ended.stdout)
        self.assertEqual(ended.returncode, 1 if found["findings"] else 0)
        return found

    def ids(self, found: dict[str, Any]) -> set[str]:
        """Return the names of all findings, and assert that each is explained."""
        for each in found["findings"]:
            self.assertTrue(each["seen"] and each["means"] and each["cause"])
            self.assertLessEqual(2 if each["runs"] > 1 else 1, each["times"])
        return {each["id"] for each in found["findings"]}

    @staticmethod
    def untested(found: dict[str, Any]) -> set[str]:
        """Return the names of the tests that were not carried out."""
        return {each["test"] for each in found["tests"] if each["result"] == "untested"}

    def behaving(self, behavior: str, *args: str, prefix: tuple[str, ...] = ()) -> str:
        """Return HOST:PORT of a listener with a behavior."""
        host = SERVER if prefix else "127.0.0.1"
        daemon = self.echotime("--behave", f"{host}:0={behavior}", *args, prefix=prefix)
        return f"{host}:" + daemon.line(rf"TCP {host}:(\d+), which misbehaves")[1]


class PathTests(_Path):
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
        self.assertRegex(lines[-1], r"^127\.0\.0\.1:\d+: tests: 16, findings: 0, not tested: 0, \d+\.\d s$")

    def test_ordinary_server(self) -> None:
        """With any other echo server the tests that it does not allow say what would allow them."""
        for args in ([], ["--ack", ""]):
            daemon = self.echotime(*args)
            _host, port = daemon.address("TCP")
            found = self.path(f"127.0.0.1:{port}")
            self.assertEqual(self.ids(found), set())
            self.assertLessEqual({"half-close", "data", "idle"}, set(TESTS) - self.untested(found))
            reasons = {each["seen"] for each in found["tests"] if each["test"] in {"syn", "address", "timing"}}
            self.assertEqual(reasons, {"the server takes no requests; it needs --behave ADDRESS=client"})

    def test_varying_answers(self) -> None:
        """Answers that vary are no changed data."""
        found = self.path(self.behaving("client", "--reply", r"\{connection}"))
        self.assertEqual(self.ids(found), set())
        self.assertIn("data", self.untested(found))

    def test_accept_only(self) -> None:
        """A connection that is accepted and not answered is a finding: silence, a FIN, or a RST."""
        for behavior in ("timeout", "close_first"):
            with self.subTest(behavior):
                found = self.path(self.behaving(behavior))
                self.assertEqual(self.ids(found), {"accept-only"})
                self.assertEqual(len(found["tests"]), 1)

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
            self.assertEqual((ended.returncode, ended.stdout), (status, b""))
            self.assertIn(text, ended.stderr.decode())
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
        shown = self.at_terminal("path", "--idle-limit", "1h", server, typed=[(b" of 16 tests, ", b"\x03")])
        self.assertRegex(shown.decode(), r"(?s)served +ok .*, findings: 0, not tested: 0, ")
        self.assertNotIn(b"idle  ", shown)
        self.assertIn(self.status, {-signal.SIGINT, 128 + signal.SIGINT})

    def test_chinese(self) -> None:
        """Texts are translated, and names are not."""
        found = self.path(self.behaving("timeout"), language=CHINESE)
        (finding,) = found["findings"]
        self.assertEqual((finding["id"], finding["test"]), ("accept-only", "served"))
        self.assertIn("握手", finding["means"])


NETWORKS: dict[str, tuple[str, ...]] = {
    "a veth pair": (),
    "masquerading": ("-t nat -A INPUT -j SNAT --to-source 10.9.0.77",),
    "MSS clamping to 1200": ("-t mangle -A PREROUTING -p tcp --syn -j TCPMSS --set-mss 1200",),
    "a firewall that strips SACK": (
        "-t mangle -A PREROUTING -p tcp --syn -j TCPOPTSTRIP --strip-options sack-permitted",
    ),
    "DSCP set to 0": ("-t mangle -A PREROUTING -j DSCP --set-dscp 0",),
    "20% of UDP datagrams dropped": ("-A INPUT -p udp -m statistic --mode random --probability 0.2 -j DROP",),
    "fragments dropped": ("-t raw -A PREROUTING -f -j DROP",),
    "datagrams from some source ports dropped": ("-A INPUT -p udp -m u32 --u32 0>>22&0x3C@0>>16&7=3:4 -j DROP",),
    "UDP rejected": ("-A INPUT -p udp -j REJECT",),
}
"""The rows of docs/path.md, and the rules of iptables at the server that make such a network."""


class NetworkTests(_Path):
    """Run the tool at one end of a veth pair, with a firewall at the other."""

    def setUp(self) -> None:
        super().setUp()
        self.need("iptables")
        self.cable = Cable()
        self.addCleanup(self.cable.leave)

    def test_networks(self) -> None:
        """Each network has exactly the documented findings."""
        server = self.behaving("client", prefix=self.cable.prefix)
        for row, rules in NETWORKS.items():
            with self.subTest(row):
                self.cable.server(*(f"iptables {each}" for each in rules))
                found = self.path(server)
                self.cable.server(*(f"iptables {each.replace('-A', '-D')}" for each in rules))
                self.assertEqual((row, self.ids(found)), (row, documented(row)), json.dumps(found, indent=1))

    def test_fragments_of_answers(self) -> None:
        """A firewall at the client may drop what the server has fragmented."""
        server = self.behaving("client", prefix=self.cable.prefix)
        self.cable.client("iptables -t raw -A PREROUTING -f -j DROP")
        found = self.path(server)
        self.assertEqual(self.ids(found), documented("fragments dropped"))
        self.assertTrue(found["findings"][0]["values"]["answers"])

    def test_dnat(self) -> None:
        """Another port that is forwarded to the server's is a finding for each transport."""
        server = self.behaving("client", prefix=self.cable.prefix)
        port = server.rpartition(":")[2]
        self.cable.server(
            *(
                f"iptables -t nat -A PREROUTING -p {each} --dport 7 -j REDIRECT --to-ports {port}"
                for each in ("tcp", "udp")
            )
        )
        found = self.path(f"{SERVER}:7")
        self.assertEqual(self.ids(found), documented("DNAT"))
        values = {each["test"]: each["values"] for each in found["findings"]}
        self.assertEqual(values["address"], {"sent": f"{SERVER}:7", "seen": server})

    def test_hops(self) -> None:
        """Routers lower the TTL, which is no finding."""
        server = self.behaving("client", prefix=self.cable.prefix)
        self.cable.server("iptables -t mangle -A PREROUTING -j TTL --ttl-dec 3")
        found = self.path(server)
        self.assertEqual(self.ids(found), set())
        seen = {each["test"]: each["seen"] for each in found["tests"]}
        self.assertIn("3 routers", seen["syn"])
        self.assertIn("3 routers", seen["udp header"])
        self.assertIn(CLIENT, seen["address"])


del _Path
