"""TCPBehavior and Fault, the base classes of TCP behaviors."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from echotime.behave.spec import Behavior, Parameter
from echotime.behave.tcp.context import Context, EndedConnection
from echotime.behave.tcp.interposer import Interposer
from echotime.behave.values import hexadecimal, probability
from echotime.services.tcp_echo import EchoProtocol
from echotime.wire.parsers import non_negative_int


class TCPBehavior(Interposer):
    """Echo, as an ordinary listener does."""

    name: ClassVar[str] = "echo"
    id = Parameter(hexadecimal, "", "Name of the connection, by which report tells how it ended.", "none")

    def __init__(self, echo: EchoProtocol, behavior: Behavior, context: Context) -> None:
        super().__init__(echo)
        self.values = behavior.values
        self.context = context
        self.ended_by = f"behavior {self.name}"

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        if self.id:
            self.context.ended.add(self.id, EndedConnection(self.echo.ended_by, self.bytes_in, self.bytes_out))


class Fault(TCPBehavior):
    """Misbehave on a share of the connections. `random` gives what a kind draws."""

    probability = Parameter(probability, 1.0, "Share of the connections that misbehave. The others echo.")
    seed = Parameter[int | None](non_negative_int, None, "Start of the random numbers, to repeat a test.", "random")

    def __init__(self, echo: EchoProtocol, behavior: Behavior, context: Context) -> None:
        super().__init__(echo, behavior, context)
        self.random = context.random
