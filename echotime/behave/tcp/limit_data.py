"""LimitData: close the connection after a number of bytes."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.tcp.behavior import Fault
from echotime.behave.values import byte_size


class LimitData(Fault):
    """Send a FIN after `bytes` bytes of answers, even in the middle of one. What the client sends later is discarded.

    Five seconds after the FIN the connection is closed.
    """

    name = "limit_data"
    limit = Parameter(byte_size(), 100, "Bytes that are sent before the FIN.", name="bytes")

    def write(self, data: bytes) -> None:
        self.send(data[: self.limit - self.bytes_out])
        if self.bytes_out >= self.limit:
            self.end_output()
