"""Test failures of `echotime send`."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from pathlib import Path

from tests.support.plain_clients import RESET
from tests.support.tool_case import ToolTestCase, environment
from tests.support.twistd_process import LIMIT


class FailureTests(ToolTestCase):
    """Check the exit status and the one line of each kind of failure."""

    def assert_fails(self, status: int, text: str, *args: str) -> None:
        """Check the status and the only line on standard error."""
        ended = self.tool("send", "--quiet", *args)
        self.assertEqual((ended.returncode, ended.stderr.count(b"\n")), (status, 1), ended.stderr)
        self.assertIn(text.encode(), ended.stderr)

    def test_refused(self) -> None:
        """Status 3: the port is closed."""
        self.assert_fails(3, "connection refused", self.closed_port(), "x")

    def test_port_as_message(self) -> None:
        """A number after the server may be meant as the port, which the message says."""
        host_and_number = ("127.0.0.1", "22111")
        # the default port is not served: the tool's own default is replaced by one that is closed
        port = self.closed_port().partition(":")[2]
        python = f"import echotime.wire.hostport as h; h.DEFAULT_PORT = {port}"
        ended = self.tool("send", "-q", *host_and_number, python=python)
        self.assertEqual(ended.returncode, 3)
        self.assertIn(
            b"echotime: 22111 is the message here; to give it as the port, write 127.0.0.1:22111", ended.stderr
        )
        self.assertNotIn(b"is the message", self.tool("send", self.closed_port(), "22111").stderr)
        other = self.tool("time", *host_and_number)
        self.assertEqual(other.returncode, 2)
        self.assertIn(b"unexpected argument '22111'; to give a port, write 127.0.0.1:22111", other.stderr)

    def test_timed_out(self) -> None:
        """Status 4: the server accepts and sends nothing."""
        server = self.tcp_server(lambda connection: (connection.recv(100), connection.recv(100)))
        self.assert_fails(
            4,
            "timed out: connected, no answer, after 1 bytes sent and 0 received",
            "--keep-open",
            "--timeout",
            "0.3",
            server,
            "x",
        )

    def test_reset(self) -> None:
        """Status 5: the server resets the connection."""

        def reset(connection: socket.socket) -> None:
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        server = self.tcp_server(reset)
        cause = (
            "(usual cause: an access list, a limit, a timeout or a stop of the server, or a PROXY header that it "
            "expects; its log says which)"
        )
        self.assert_fails(5, f"connection reset after 2 bytes sent and 0 received {cause}", server, "xx")
        self.assert_fails(5, f"connection reset after 0 of 13 bytes {cause}", "--verify", server, "xx")

    def test_name(self) -> None:
        """Status 6: the name does not exist (RFC 6761)."""
        self.assert_fails(6, "name not found", "nowhere.invalid", "x")

    def test_no_answer(self) -> None:
        """Status 7: the server closes without sending anything."""
        server = self.tcp_server(lambda connection: connection.recv(100))
        cause = "an access list or a connection limit)"
        self.assert_fails(
            7, f"end of file, 1 bytes sent and 0 received (usual cause: {cause}", "--keep-open", server, "x"
        )
        cause = f"nginx needs proxy_half_close on, Traefik a longer terminationDelay; or {cause}\n"
        for option, amount in ([], "1 bytes sent and 0 received"), (["--verify"], "0 of 12 bytes"):
            self.assert_fails(7, f" ms after the half-close, {amount} (usual cause: ", *option, server, "x")
            self.assert_fails(7, cause, *option, server, "x")
        repeated = self.tool("send", "--repeat", "2", server, "x")
        self.assertEqual(repeated.returncode, 7)
        self.assertRegex(repeated.stdout.decode(), r"failures: 2, first in session 1: end of file .*, 0 of 12 bytes \(")
        self.assertIn(cause.encode(), repeated.stdout)
        self.assertEqual(self.tool("send", server, stdin=b"x").returncode, 7)

    def test_usage(self) -> None:
        """Status 2: the command line has a fault."""
        for args in (
            ["host:99999", "x"],
            ["12345", "x"],
            ["[1.2.3.4]:1", "x"],
            ["::1:2:x", "x"],
            ["--timeout", "0", "h", "x"],
        ):
            ended = self.tool("send", *args)
            self.assertEqual(ended.returncode, 2, ended.stderr)
        for args in (["--parallel", "2"], ["--repeat", "1", "--raw"], ["--repeat", "9" * 5000]):
            self.assertEqual(self.tool("send", *args, "host", "x").returncode, 2)
        for name in ("punycode", "idna", "hex", "rot13", "undefined", "nothing"):
            self.assertEqual(self.tool("send", "--encoding", name, "host", "x").returncode, 2, name)
        self.assertEqual(self.tool("send").returncode, 2)
        self.assertEqual(self.tool("nothing").returncode, 2)

    def test_misspelt(self) -> None:
        """An unknown option is reported with the nearest one; arguments after -- are no options."""
        for args in (["--timeuot", "1", "host", "x"], ["host", "x", "--timeuot=1"]):
            ended = self.tool("send", *args)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(b"unknown option '--timeuot'; the nearest is --timeout\n", ended.stderr)
        self.assertEqual(self.tool("send", "-q", self.closed_port(), "--", "--timeuot").returncode, 3)
        self.assertEqual(self.tool("check", "--timeuot", "1", "host").returncode, 3)

    def test_cut(self) -> None:
        """--verify reports a reply that ends early."""
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)[:3]))
        self.assert_fails(1, "cut after 3 of 16 bytes, end of file ", "--verify", server, "hello")

    def test_early_end(self) -> None:
        """A server that closes during a long message counts as a reset, not an endless wait."""
        server = self.tcp_server(lambda connection: connection.recv(10))
        ended = self.tool("send", "--quiet", server, stdin=bytes(50_000_000))
        self.assertEqual(ended.returncode, 5, ended.stderr)

    def foreign(self, *command: str) -> tuple[int, bytes]:
        """Return the result of --verify with another program as server; PORT in its command stands for a free port."""
        self.need(command[0])
        port = self.closed_port().rpartition(":")[2]
        server = subprocess.Popen(
            [part.replace("PORT", port) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.addCleanup(server.wait, LIMIT)
        self.addCleanup(server.kill)
        for _ in range(50):  # until it listens
            ended = self.tool("send", "--quiet", "--verify", "--ack", "", f"127.0.0.1:{port}", "hello")
            if ended.returncode != 3:
                return ended.returncode, ended.stdout
        raise AssertionError(f"{command[0]} does not listen")

    def test_socat_as_server(self) -> None:
        """With --ack '' a plain echo, as by socat, is exact; a truncated one is not."""
        listen = ("socat", "-t", "5", "TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr")
        self.assertEqual(self.foreign(*listen, "EXEC:cat"), (0, b"hello"))
        self.assertEqual(self.foreign(*listen, "EXEC:head -c 3"), (1, b"hel"))

    def test_ncat_as_server(self) -> None:
        """A truncated echo by ncat is found; ncat may lose the rest at half-close, as it did until 7.96."""
        status, answer = self.foreign("ncat", "-l", "127.0.0.1", "PORT", "--exec", "/usr/bin/head -c 3")
        self.assertIn(status, {1, 5, 7})
        self.assertTrue(b"hel".startswith(answer), answer)

    def test_repeat_counts_losses(self) -> None:
        """--repeat counts the bytes that a server loses."""
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)[:3]))
        ended = self.tool("send", "--repeat", "5", "--ack", "", server, "hello")
        self.assertEqual(ended.returncode, 1)
        self.assertIn(b"sessions: 5, exact: 0, bytes lost: 10\n", ended.stdout)

    def test_repeat_lists_kinds(self) -> None:
        """--repeat lists each kind of failure, with its first session."""
        answers = [b"hello", b"HELLO", b"", b"hello", b"hEllo"]

        def serve(connection: socket.socket) -> None:
            connection.recv(100)
            connection.sendall(answers.pop(0))

        ended = self.tool("send", "--repeat", "5", "--ack", "", self.tcp_server(serve), "hello")
        self.assertEqual(ended.returncode, 1)
        first, wrong, none, _times = ended.stdout.splitlines()
        self.assertEqual(first, b"sessions: 5, exact: 2, bytes lost: 5")
        self.assertRegex(wrong, rb"^failures: 2, first in session 2: wrong byte at offset 0: expected 'h', found 'H'")
        self.assertRegex(
            none, rb"^failures: 1, first in session 3: end of file [\d.]+ ms after the half-close, 0 of 5 bytes \("
        )

    def test_full_output(self) -> None:
        """A reply that cannot be written is reported, with status 1."""
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)))
        with Path("/dev/full").open("wb") as full:
            command = self.command("send", "--quiet", server, "hello")
            ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=LIMIT)
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, rb"^echotime: \S+: standard output: [^\n]+\n$")

    def test_closed_streams(self) -> None:
        """Standard streams that were closed before the start cause no traceback."""
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)))
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            command = ["sh", "-c", f'exec "$0" "$@" {closed}', *self.command("send", server, "hello")]
            ended = subprocess.run(command, capture_output=True, check=False, timeout=LIMIT)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertNotIn(b"Traceback", ended.stderr)

    def test_answer_without_end(self) -> None:
        """An exact reply without an end of file is not exact: the session has not ended."""

        def keep(connection: socket.socket) -> None:
            connection.sendall(connection.recv(100))
            connection.recv(1)
            connection.recv(1)
            self.released.wait(LIMIT)

        self.released = threading.Event()
        server = self.tcp_server(keep)
        self.addCleanup(self.released.set)
        ended = self.tool("send", "--repeat", "1", "--timeout", "0.5", "--ack", "", server, "hello")
        self.assertEqual(ended.returncode, 4, ended.stdout)
        self.assertIn(b"exact: 0", ended.stdout)

    def test_endless_garbage(self) -> None:
        """A session ends at the first wrong byte of a server that never stops."""

        def garbage(connection: socket.socket) -> None:
            while True:
                connection.sendall(b"G" * 65536)

        ended = self.tool("send", "--repeat", "1", self.tcp_server(garbage), "hello")
        self.assertEqual(ended.returncode, 1)
        self.assertIn(b"failures: 1, first in session 1: wrong byte at offset 0: expected 'h', found 'G'", ended.stdout)

    def test_verify_ends_at_the_first_wrong_byte(self) -> None:
        """--verify does not wait for the end of a server that goes on after the right answer."""

        def endless(connection: socket.socket) -> None:
            connection.sendall(connection.recv(100) + b"\nI get it!\n")
            while True:
                connection.sendall(b"G" * 65536)

        self.assert_fails(1, "wrong byte at offset 16", "--verify", self.tcp_server(endless), "hello")

    def test_ended_before_all_was_sent(self) -> None:
        """A server that ends before the client has sent everything is an error."""

        def early(connection: socket.socket) -> None:
            connection.sendall(connection.recv(1))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

        child = self.start("send", "--quiet", self.tcp_server(early))
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(b"hello")
        child.stdin.flush()
        self.assertEqual(child.wait(LIMIT), 1)
        self.assertIn(b"the server closed the connection before everything was sent", child.stderr.read())

    def test_slow_reader_of_output(self) -> None:
        """--timeout does not count while standard output is blocked."""

        def much(connection: socket.socket) -> None:
            connection.sendall(bytes(10_000_000))
            connection.recv(100)

        child = self.start("send", "--quiet", "--timeout", "1", self.tcp_server(much), "hello")
        with self.assertRaises(subprocess.TimeoutExpired):
            child.wait(2.5)
        out, err = child.communicate(timeout=LIMIT)
        self.assertEqual((child.returncode, len(out)), (0, 10_000_000), err)

    def test_ended_by_signal(self) -> None:
        """SIGTERM and Ctrl-C end `send`, also at a prompt, with the signal as status."""
        child = self.start("send", "--keep-open", self.server_that_waits(), "hello")
        assert child.stderr is not None
        self.assertEqual(child.stderr.readline(), b"Sending is done.\n")
        child.terminate()
        self.assertEqual(child.wait(LIMIT), -signal.SIGTERM)
        shown = self.at_terminal("send", typed=[(b"input the server ip:", b"\x03")])
        self.assertEqual(self.status, -signal.SIGINT, shown)

    def server_that_waits(self) -> str:
        """Start a server that sends nothing until the test is over; return its HOST:PORT."""
        released = threading.Event()
        server = self.tcp_server(lambda connection: released.wait(LIMIT))
        self.addCleanup(released.set)
        return server

    def test_few_descriptors(self) -> None:
        """More parallel sessions than descriptors are reported as EMFILE."""
        self.need("prlimit")
        server = "{}:{}".format(*self.echotime().address("TCP"))
        command = self.command("send", "--repeat", "300", "--parallel", "200", server, "hello")
        ended = subprocess.run(
            ["prlimit", "--nofile=64", *command], capture_output=True, check=False, timeout=LIMIT, env=environment({})
        )
        self.assertEqual((ended.returncode, ended.stderr), (1, b""))
        self.assertRegex(ended.stdout, rb"failures: \d+, first in session \d+: Too many open files \(EMFILE\)\n")

    def test_output_to_file(self) -> None:
        """Standard output may be a file."""
        path = Path(self.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)))
        with path.open("wb") as out:
            ended = subprocess.run(
                self.command("send", "--quiet", server, "hello"),
                stdout=out,
                stdin=subprocess.DEVNULL,
                check=False,
                timeout=LIMIT,
            )
        self.assertEqual((ended.returncode, path.read_bytes()), (0, b"hello"))
