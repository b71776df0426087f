"""Provide plain-socket clients, and checks of their input against the wire protocol."""

from __future__ import annotations

import select
import socket
import struct
import time

from tests.support.twistd_process import LIMIT

ACKNOWLEDGEMENT = b"\nI get it!\n"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER value with which a close resets the connection."""


def connect(address: tuple[str, int], source: str = "") -> socket.socket:
    """Connect over TCP with a time limit; `source` is the client's own address."""
    return socket.create_connection(address, timeout=LIMIT, source_address=(source, 0) if source else None)


def read_all(sock: socket.socket) -> bytes:
    """Read up to the end of file."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read exactly `size` bytes; fail at an earlier end of file."""
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        assert part, f"end of file after {data!r}"
        data += part
    return data


def fill(sock: socket.socket) -> int:
    """Send until the socket accepts nothing more, without reading; return the number of bytes."""
    sock.settimeout(0.1)
    sent = 0
    try:
        while True:
            sent += sock.send(b"x" * 65536)
    except TimeoutError:
        sock.settimeout(LIMIT)
    return sent


def one_shot(address: tuple[str, int], message: bytes, source: str = "") -> bytes:
    """Send, half-close, and read to the end of file, as the client of the original scripts does."""
    with connect(address, source) as sock:
        return send_and_read(sock, message)


def send_and_read(sock: socket.socket, message: bytes) -> bytes:
    """Send on a connected socket, half-close it, and read to the end of file."""
    sock.sendall(message)
    sock.shutdown(socket.SHUT_WR)
    return read_all(sock)


def duplex(address: tuple[str, int], total: int, source: str = "") -> bytes:
    """Send `total` bytes without a newline while reading; return the bytes read."""
    line = bytes(byte for byte in range(256) if byte != 0x0A)
    block = line * 257
    received = bytearray()
    deadline = time.monotonic() + 3 * LIMIT
    with connect(address, source) as sock:
        sock.setblocking(False)
        left = total
        while True:
            assert time.monotonic() < deadline, f"{len(received)} bytes back after {3 * LIMIT} seconds"
            readable, writable, _ = select.select([sock], [sock] if left else [], [], LIMIT)
            if writable:
                offset = (total - left) % len(block)
                left -= sock.send(block[offset : offset + min(left, len(block) - offset)])
                if not left:
                    sock.shutdown(socket.SHUT_WR)
            if readable:
                part = sock.recv(262144)
                if not part:
                    return bytes(received)
                received += part


def sent_by_duplex(total: int) -> bytes:
    """Return the bytes that duplex() sends."""
    line = bytes(byte for byte in range(256) if byte != 0x0A)
    return (line * (total // len(line) + 1))[:total]


def split_answers(received: bytes, after_each: bytes) -> list[bytes]:
    """Split what was received into the echoed messages, none of which contains `after_each`."""
    assert received.endswith(after_each), f"the last answer is cut: ...{received[-40:]!r}"
    return received[: -len(after_each)].split(after_each)


def ask_time(address: tuple[str, int], datagram: bytes = b"") -> bytes:
    """Return one answer of the UDP service, received on a connected socket.

    A connected socket drops an answer from another address.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.connect(address)
        sock.send(datagram)
        return sock.recv(2048)
