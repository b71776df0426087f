"""`echotime send`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.integration.peers import ACKNOWLEDGEMENT, RESET
from tests.integration.tools import CHINESE, TOOL, ToolTestCase, environment
from tests.integration.twistd import LIMIT


def where(address: tuple[str, int]) -> str:
    """HOST:PORT."""
    return "{}:{}".format(*address)


class SendTests(ToolTestCase):
    """Against our daemon."""

    def server(self, *args: str) -> str:
        """HOST:PORT of a daemon."""
        return where(self.echotime(*args).address("TCP"))

    def test_message(self) -> None:
        """What came back goes to standard output and nothing else does; that sending is done is said beside it."""
        ended = self.tool("send", self.server("--reply", "ok"), "hello")
        self.assertEqual((ended.returncode, ended.stdout), (0, b"hello\nI get it!\nok"))
        self.assertEqual(ended.stderr, b"Sending is done.\n")

    def test_standard_input(self) -> None:
        """A pipe, or - for it, is sent as it is, bytes of any kind."""
        server = self.server("--ack", "")
        data = bytes(range(256)) * 1000
        for args in (["send", server], ["send", server, "-"]):
            ended = self.tool(*args, stdin=data)
            self.assertEqual(ended.returncode, 0)
            self.assertTrue(ended.stdout == data, "the echo differs from what was sent")

    def test_empty_input(self) -> None:
        """Nothing to send is no failure."""
        ended = self.tool("send", self.server())
        self.assertEqual((ended.returncode, ended.stdout), (0, b""))

    def test_gigabyte(self) -> None:
        """A gigabyte goes through, byte for byte, and the tool's memory stays small."""
        server = self.server("--ack", "", "--show-messages", "0")
        size = "1000000000"
        source = subprocess.Popen(["head", "-c", size, "/dev/zero"], stdout=subprocess.PIPE)
        child = subprocess.Popen(
            self.command("send", server), stdin=source.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        compare = subprocess.Popen(["cmp", "-n", size, "-", "/dev/zero"], stdin=child.stdout, stderr=subprocess.PIPE)
        for process in (source, child, compare):
            self.addCleanup(process.wait, LIMIT)
            self.addCleanup(process.kill)
        for stream in (source.stdout, child.stdout):
            assert stream is not None
            stream.close()
        _, differs = compare.communicate(timeout=6 * LIMIT)
        # its own resources, which Popen.wait does not tell
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual((child.returncode, compare.returncode, differs), (0, 0, b""))
        self.assertLess(usage.ru_maxrss, 120_000)

    @staticmethod
    def command(*args: str) -> list[str]:
        """The tool's command line, for a shell."""
        return [*TOOL, *args]

    def test_verify(self) -> None:
        """--verify is content with an exact answer, and names the first wrong offset of another."""
        server = self.server("--reply", "ok")
        big = bytes(1_000_000)
        self.assertEqual(self.tool("send", "--verify", "--reply", "ok", server, stdin=big).returncode, 0)
        ended = self.tool("send", "--verify", server, "hello")
        self.assertEqual((ended.returncode, ended.stdout), (1, b"hello\nI get it!\nok"))
        self.assertIn(b"wrong at offset 16 of the answer: expected the end of file, found 'o'", ended.stderr)

    def test_keep_open(self) -> None:
        """--keep-open does not half-close: the daemon goes on waiting, and --timeout ends that."""
        ended = self.tool("send", "--keep-open", "--timeout", "0.5", self.server(), "hello")
        self.assertEqual((ended.returncode, ended.stdout), (4, b"hello" + ACKNOWLEDGEMENT))

    def test_repeat(self) -> None:
        """--repeat and --parallel run many sessions, check each, and sum them up."""
        ended = self.tool("send", "--repeat", "200", "--parallel", "20", self.server(), "hello")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn(b"sessions: 200, exact: 200, bytes lost: 0\n", ended.stdout)
        self.assertIn(b"min/avg/max/mdev/p50/p99 = ", ended.stdout)

    def test_sockopt(self) -> None:
        """Socket options are set on the client, too, and a wrong one is a fault."""
        server = self.server("--ack", "")
        self.assertEqual(self.tool("send", "--sockopt", "TCP_NODELAY=on", server, "x").stdout, b"x")
        ended = self.tool("send", "--sockopt", "TCP_NODELY=on", server, "x")
        self.assertEqual(ended.returncode, 2)
        self.assertIn(b"nearest is TCP_NODELAY", ended.stderr)
        ended = self.tool("send", "--sockopt", "SO_BINDTODEVICE=none0", server, "x")
        self.assertEqual(ended.returncode, 1)
        self.assertIn(b"SO_BINDTODEVICE=none0: No such device (ENODEV)", ended.stderr)

    def test_addresses(self) -> None:
        """Names, IPv4, IPv6 with and without brackets."""
        daemon = self.twistd("echotime", "--tcp", "[::]:0", "--ack", "")
        port = daemon.address("TCP")[1]
        for host in ("localhost", "127.0.0.1", "[::1]"):
            self.assertEqual(self.tool("send", f"{host}:{port}", "x").stdout, b"x", host)

    def test_broken_pipe(self) -> None:
        """When nobody reads its output any more it ends quietly, by SIGPIPE as others do."""
        child = self.start("send", self.server())
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write(b"hello")
        child.stdin.flush()
        self.assertEqual(child.stdout.read(5), b"hello")
        child.stdout.close()
        child.stdin.write(b"more")
        child.stdin.close()
        self.assertEqual(child.wait(LIMIT), -signal.SIGPIPE)
        self.assertNotIn(b"Traceback", child.stderr.read())

    def test_terminal(self) -> None:
        """On a terminal it asks for what is missing, as the seed's client does."""
        server = self.server("--reply", "ok")
        shown = self.at_terminal(
            "send", typed=[(b"input the server ip:", server.encode()), (b"input the message to send:", b"hello")]
        )
        self.assertEqual(self.status, 0, shown)
        self.assertTrue(shown.endswith(b"Sending is done.\r\nhello\r\nI get it!\r\nok"), shown)

    def test_chinese_terminal(self) -> None:
        """The same in Chinese, in the seed's words."""
        server = self.server("--reply", "ok")
        shown = self.at_terminal(
            "send",
            typed=[("输入服务器ip:".encode(), server.encode()), ("输入要发送的信息:".encode(), "你好".encode())],
            language=CHINESE,
        )
        self.assertEqual(self.status, 0, shown)
        self.assertTrue(shown.endswith("发送完成。\r\n你好\r\nI get it!\r\nok".encode()), shown)

    def test_encoding(self) -> None:
        """--encoding writes the message in it, and shows what comes back from it."""
        server = self.server("--ack", "")
        self.assertEqual(self.tool("send", "--encoding", "cp936", server, "你好").stdout, "你好".encode("cp936"))
        shown = self.at_terminal("send", "--encoding", "cp936", server, "你好", typed=[])
        self.assertTrue(shown.endswith("你好".encode()), shown)

    def test_terminal_is_safe(self) -> None:
        """A peer's control characters do not reach a terminal, unless --raw asks for them."""
        server = self.server("--ack", "", "--reply", r"\x1b[31mred\x07\xff")
        shown = self.at_terminal("send", server, "x", typed=[])
        self.assertTrue(shown.endswith(rb"x\x1b[31mred\x07\xff"), shown)
        raw = self.at_terminal("send", "--raw", server, "x", typed=[])
        self.assertTrue(raw.endswith(b"x\x1b[31mred\x07\xff"), raw)


class FailureTests(ToolTestCase):
    """Each kind of failure has its exit status, and one clear line."""

    def assert_fails(self, status: int, text: str, *args: str) -> None:
        """One line on standard error but for that of sending, and the status."""
        ended = self.tool("send", "--quiet", *args)
        self.assertEqual((ended.returncode, ended.stderr.count(b"\n")), (status, 1), ended.stderr)
        self.assertIn(text.encode(), ended.stderr)

    def test_refused(self) -> None:
        """3: nobody listens."""
        self.assert_fails(3, "connection error! refused", self.closed_port(), "x")

    def test_timed_out(self) -> None:
        """4: a server that accepts and says nothing."""
        server = self.tcp_server(lambda connection: (connection.recv(100), connection.recv(100)))
        self.assert_fails(4, "timed out", "--keep-open", "--timeout", "0.3", server, "x")

    def test_reset(self) -> None:
        """5: a server that resets."""

        def reset(connection: socket.socket) -> None:
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        self.assert_fails(5, "reset by the server", self.tcp_server(reset), "xx")

    def test_name(self) -> None:
        """6: a name that is not there (RFC 6761)."""
        self.assert_fails(6, "name not found", "nowhere.invalid", "x")

    def test_no_answer(self) -> None:
        """7: a server that ends without a word."""
        self.assert_fails(7, "no answer", self.tcp_server(lambda connection: connection.recv(100)), "x")

    def test_usage(self) -> None:
        """2: faults of the command line."""
        for args in (
            ["host:99999", "x"],
            ["12345", "x"],
            ["[1.2.3.4]:1", "x"],
            ["::1:2:x", "x"],
            ["--timeout", "0", "h", "x"],
        ):
            ended = self.tool("send", *args)
            self.assertEqual(ended.returncode, 2, ended.stderr)
        self.assertEqual(self.tool("send").returncode, 2)
        self.assertEqual(self.tool("nothing").returncode, 2)

    def test_cut(self) -> None:
        """--verify tells an answer that ends early."""
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)[:3]))
        self.assert_fails(
            1, "wrong at offset 3 of the answer: expected 'l', found the end of file", "--verify", server, "hello"
        )

    def test_early_end(self) -> None:
        """A server that ends in the middle of a long message is a reset, not an endless wait."""
        server = self.tcp_server(lambda connection: connection.recv(10))
        ended = self.tool("send", "--quiet", server, stdin=bytes(50_000_000))
        self.assertEqual(ended.returncode, 5, ended.stderr)

    def test_other_echo_servers(self) -> None:
        """With --ack '' a plain echo, as socat serves it, is exact; ncat's is what it is."""
        self.need("socat")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        socat = subprocess.Popen(
            ["socat", "-t", "5", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "EXEC:cat"], stderr=subprocess.PIPE
        )
        self.addCleanup(socat.wait, LIMIT)
        self.addCleanup(socat.kill)
        assert socat.stderr is not None
        self.addCleanup(socat.stderr.close)
        status = 3
        for _ in range(50):  # until it listens
            ended = self.tool("send", "--quiet", "--verify", "--ack", "", f"127.0.0.1:{port}", "hello")
            status = ended.returncode
            if status != 3:
                break
        self.assertEqual((status, ended.stdout), (0, b"hello"), ended.stderr)

    def test_repeat_counts_losses(self) -> None:
        """--repeat counts what a server loses."""
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)[:3]))
        ended = self.tool("send", "--repeat", "5", "--ack", "", server, "hello")
        self.assertEqual(ended.returncode, 1)
        self.assertIn(b"sessions: 5, exact: 0, bytes lost: 10\n", ended.stdout)

    def test_full_output(self) -> None:
        """When what comes back cannot be written it says so, with status 1."""
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)))
        with Path("/dev/full").open("wb") as full:
            command = SendTests.command("send", "--quiet", server, "hello")
            ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=LIMIT)
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, rb"^echotime: \S+: standard output: [^\n]+\n$")

    def test_closed_streams(self) -> None:
        """Streams that were closed before it began are no reason for a traceback."""
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)))
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            command = ["sh", "-c", f'exec "$0" "$@" {closed}', *SendTests.command("send", server, "hello")]
            ended = subprocess.run(command, capture_output=True, check=False, timeout=LIMIT)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertNotIn(b"Traceback", ended.stderr)

    def test_few_descriptors(self) -> None:
        """More sessions at once than descriptors are told for what they are."""
        self.need("prlimit")
        server = "{}:{}".format(*self.echotime().address("TCP"))
        command = SendTests.command("send", "--repeat", "300", "--parallel", "200", server, "hello")
        ended = subprocess.run(
            ["prlimit", "--nofile=64", *command], capture_output=True, check=False, timeout=LIMIT, env=environment({})
        )
        self.assertEqual((ended.returncode, ended.stderr), (1, b""))
        self.assertRegex(ended.stdout, rb"failures by kind: Too many open files \(EMFILE\): \d+\n")

    def test_output_to_file(self) -> None:
        """Standard output may be a file."""
        path = Path(self.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        server = self.tcp_server(lambda connection: connection.sendall(connection.recv(100)))
        with path.open("wb") as out:
            ended = subprocess.run(
                SendTests.command("send", "--quiet", server, "hello"),
                stdout=out,
                stdin=subprocess.DEVNULL,
                check=False,
                timeout=LIMIT,
            )
        self.assertEqual((ended.returncode, path.read_bytes()), (0, b"hello"))
