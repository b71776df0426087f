"""Run the tool `echotime` as a child process, and misbehaving servers for it."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from echotime.wire.hostport import format_hostport
from tests.support.twistd_process import LIMIT, DaemonTestCase

TOOL = [sys.executable, "-c", "from echotime.cli.entry import main; main()"]
ENGLISH = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}
CHINESE = {"LC_ALL": "zh_CN.UTF-8", "LANGUAGE": ""}


def environment(extra: dict[str, str]) -> dict[str, str]:
    """Return the environment of the tests, with a language."""
    return {**os.environ, **ENGLISH, **extra}


class ToolTestCase(DaemonTestCase):
    """Run tools against the daemon or against servers that a test makes."""

    def tool(
        self,
        *args: str,
        stdin: bytes = b"",
        language: dict[str, str] = ENGLISH,
        limit: float = 2 * LIMIT,
        python: str = "",
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `echotime ARGS` with these bytes as input, and assert that it prints no traceback.

        `python` is run in its process before the tool.
        """
        command = [*TOOL[:2], f"{python}\n{TOOL[2]}"]
        ended = subprocess.run(
            [*command, *args], input=stdin, capture_output=True, timeout=limit, check=False, env=environment(language)
        )
        self.assertNotIn(b"Traceback", ended.stderr)
        self.assertNotIn(b"Unhandled", ended.stderr)
        self.assertNotIn(b"[Failure", ended.stderr)
        return ended

    @staticmethod
    def command(*args: str) -> list[str]:
        """Return the command line of the tool."""
        return [*TOOL, *args]

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start `echotime ARGS` with pipes."""
        child = subprocess.Popen(
            [*TOOL, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment({}),
        )
        self.addCleanup(self._end, child)
        return child

    @staticmethod
    def _end(child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            child.kill()
        child.wait(LIMIT)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def tcp_server(self, serve: Callable[[socket.socket], object], host: str = "127.0.0.1") -> str:
        """Return HOST:PORT of a server that calls `serve` with each connection, and closes it."""
        listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        return self._server(listener, lambda: self._accept(listener, serve))

    @staticmethod
    def _accept(listener: socket.socket, serve: Callable[[socket.socket], object]) -> None:
        connection, _ = listener.accept()
        connection.settimeout(LIMIT)
        with connection, suppress(OSError):
            serve(connection)

    def udp_server(self, serve: Callable[[socket.socket, bytes, tuple[str, int]], object]) -> str:
        """Return HOST:PORT of a server that calls `serve` with each datagram."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        return self._server(sock, lambda: self._datagram(sock, serve))

    @staticmethod
    def _datagram(sock: socket.socket, serve: Callable[[socket.socket, bytes, tuple[str, int]], object]) -> None:
        datagram, peer = sock.recvfrom(65536)
        if peer:  # none when it was woken to stop
            serve(sock, datagram, peer)

    def _server(self, sock: socket.socket, turn: Callable[[], object]) -> str:
        def serve() -> None:
            with suppress(OSError):
                while not stopping.is_set():
                    turn()

        def stop() -> None:
            stopping.set()
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes a blocked accept or recvfrom
            thread.join(LIMIT)
            sock.close()

        stopping = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(stop)
        return format_hostport(*sock.getsockname()[:2])

    def closed_port(self) -> str:
        """Return HOST:PORT where nothing listens."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return "{}:{}".format(*sock.getsockname())

    def at_terminal(self, *args: str, typed: list[tuple[bytes, bytes]], language: dict[str, str] = ENGLISH) -> bytes:
        """Return what a terminal shows while `echotime ARGS` runs on it. Each line is typed after its prompt."""
        self.need("setsid")
        terminal, other_side = pty.openpty()
        # setsid makes it the controlling terminal, where Ctrl-C is a signal
        child = subprocess.Popen(
            ["setsid", "-c", *TOOL, *args],
            stdin=other_side,
            stdout=other_side,
            stderr=other_side,
            env=environment(language),
        )
        os.close(other_side)
        timer = threading.Timer(LIMIT, child.kill)
        timer.start()
        try:
            shown = self._typed(terminal, typed)
        finally:
            timer.cancel()
            os.close(terminal)
            self.status = child.wait(LIMIT)
        return shown

    @staticmethod
    def _typed(terminal: int, typed: list[tuple[bytes, bytes]]) -> bytes:
        shown = b""
        waiting = list(typed)
        while True:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # EIO: the other side is closed
                part = b""
            if not part:
                return shown
            shown += part
            if waiting and waiting[0][0] in shown:
                os.write(terminal, waiting.pop(0)[1] + b"\n")
