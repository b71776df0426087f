"""Test that the loads of the benchmarks accept correct servers and no others."""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.build import build_c

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")

ACKNOWLEDGEMENT = b"\nI get it!\n"
Answer = Callable[[bytes], bytes]


def right(message: bytes) -> bytes:
    """Return the correct reply to a message."""
    return message + ACKNOWLEDGEMENT


def flipped(message: bytes) -> bytes:
    """Return a reply whose last echoed byte is wrong."""
    return message[:-1] + bytes([message[-1] ^ 1]) + ACKNOWLEDGEMENT


def misspelt(message: bytes) -> bytes:
    """Return a reply with another acknowledgement."""
    return message + b"\nI got it!\n"


def silent(message: bytes) -> bytes:
    """Return a reply without an acknowledgement."""
    return message


def doubled(message: bytes) -> bytes:
    """Return a reply with two acknowledgements."""
    return right(message) + ACKNOWLEDGEMENT


def short(message: bytes) -> bytes:
    """Return a reply that lacks a byte of the echo."""
    return right(message[1:])


def gone(message: bytes) -> bytes:
    """Close the connection without a reply."""
    raise ConnectionAbortedError


def seconds(datagram: bytes) -> bytes:
    """Return the time in four bytes."""
    return struct.pack("!I", int(time.time()))


class Port(socketserver.ThreadingTCPServer):
    """Answer with `answer`, or if `patient` only from the second message of each connection on."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Answer, patient: bool) -> None:
        self.answer, self.patient = answer, patient
        super().__init__(("127.0.0.1", 0), Connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a load that found a fault closes its sockets."""


class Connection(socketserver.BaseRequestHandler):
    """Serve one connection of a Port."""

    server: Port

    def handle(self) -> None:
        answer = right if self.server.patient else self.server.answer
        while message := self.request.recv(4096):
            self.request.sendall(answer(message))
            answer = self.server.answer


@contextmanager
def tcp(answer: Answer, patient: bool) -> Iterator[int]:
    """Run a TCP server in a thread and yield its port."""
    with Port(answer, patient) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def udp(answer: Answer) -> Iterator[int]:
    """Run a UDP server in a thread, which an empty datagram ends, and yield its port."""

    def serve() -> None:
        while (received := sock.recvfrom(2048))[0]:
            sock.sendto(answer(received[0]), received[1])

    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the loads and return their folder."""
    folder = tmp_path_factory.mktemp("bin")
    build_c(folder)
    return folder


def run(programs: Path, load: str, port: int) -> subprocess.CompletedProcess[str]:
    """Run a load for 50 ms, on 4 sockets or with 4 datagrams outstanding on each."""
    command = [str(programs / f"load-{load}"), str(port), "0.05", "4", ACKNOWLEDGEMENT.decode()]
    return subprocess.run(command, input="go\n", capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("load", ["echo", "sessions", "stream"])
def test_right_answers(programs: Path, load: str) -> None:
    """A load counts the work of a correct server."""
    with tcp(right, patient=True) as port:
        done = run(programs, load, port)
    assert (done.returncode, done.stderr) == (0, "")
    ready, figures = done.stdout.splitlines()
    assert ready == "ready"
    assert json.loads(figures)["work"] > 0


@pytest.mark.parametrize(
    ("load", "answer", "complaint"),
    [
        ("echo", flipped, "wrong byte in the echo"),
        ("echo", misspelt, "wrong byte in the acknowledgement"),
        ("echo", doubled, "122 bytes of answer where 111 are due"),
        ("echo", gone, "end of file before the answer"),
        ("sessions", flipped, "wrong byte in the echo"),
        ("sessions", misspelt, "wrong byte in the acknowledgement"),
        ("sessions", doubled, "122 bytes of answer where 111 are due"),
        ("sessions", silent, "100 bytes of answer where 111 are due"),
        ("stream", flipped, "wrong byte in the echo"),
        ("stream", short, "wrong byte in the echo"),
        ("stream", misspelt, "wrong byte in an acknowledgement"),
        ("stream", silent, "an acknowledgement behind"),
        ("stream", doubled, "an acknowledgement behind 0 bytes"),
    ],
)
def test_wrong_answers(programs: Path, load: str, answer: Answer, complaint: str) -> None:
    """A load reports a wrong reply, and counts nothing."""
    with tcp(answer, patient=load != "sessions") as port:
        done = run(programs, load, port)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stdout in {"", "ready\n"}


def test_right_time(programs: Path) -> None:
    """The UDP load counts the answered datagrams."""
    with udp(seconds) as port:
        done = run(programs, "udp", port)
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout.splitlines()[1])
    assert figures["work"] > 0
    assert figures["lost"] == 0


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda datagram: datagram, "an answer of 1 bytes"),
        (lambda datagram: seconds(datagram)[:3], "an answer of 3 bytes"),
        (lambda datagram: struct.pack("!I", int(time.time()) - 60), "an answer that says"),
    ],
)
def test_wrong_time(programs: Path, answer: Answer, complaint: str) -> None:
    """The UDP load reports a wrong answer."""
    with udp(answer) as port:
        done = run(programs, "udp", port)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_no_time(programs: Path) -> None:
    """Datagrams without an answer are counted as lost."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        done = run(programs, "udp", sock.getsockname()[1])
    assert done.returncode == 1
    assert "32 lost of 32" in done.stderr
