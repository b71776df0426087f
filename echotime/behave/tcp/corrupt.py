"""Corrupt: change one byte of what the client receives."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.tcp.behavior import Fault
from echotime.behave.values import byte_size


class Corrupt(Fault):
    """Invert all bits of one byte of the answers, counted from the beginning of the connection."""

    name = "corrupt"
    offset = Parameter(byte_size(), 0, "Number of the byte, 0 for the first one.")

    def write(self, data: bytes) -> None:
        at = self.offset - self.bytes_out
        if 0 <= at < len(data):
            data = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        self.send(data)
