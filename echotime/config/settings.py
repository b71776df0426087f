"""What the daemon was asked to do, checked and typed. No text of the command line is left in here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from echotime.limits.access import Networks
from echotime.services.timeouts import Timeouts
from echotime.sockopt.assignment import Assignment
from echotime.systemd.activation import SystemdSocket
from echotime.wire import hostport
from echotime.wire.message import ACKNOWLEDGEMENT
from echotime.wire.timestamp import Epoch

DEFAULT_PORT = 12345


class ListenAddress(NamedTuple):
    """Where to listen: a numeric address and a port (0: the system chooses)."""

    host: str
    port: int

    def __str__(self) -> str:
        return hostport.format_hostport(self.host, self.port)


@dataclass(frozen=True)
class Settings:
    """All of the daemon's options; `reply` is None where no word is due."""

    tcp: tuple[ListenAddress | SystemdSocket, ...] = ()
    udp: tuple[ListenAddress | SystemdSocket, ...] = ()
    backlog: int = 1024
    sockopts: tuple[Assignment, ...] = ()
    acknowledgement: bytes = ACKNOWLEDGEMENT
    reply: bytes | None = None
    operator: bool = False
    wait_for_operator: bool = False
    reply_deadline: float | None = None
    max_questions: int = 1000
    max_questions_per_source: int = 10
    encoding: str = "utf-8"
    log_to_stdout: bool = True
    """Whether twistd's log goes to standard output."""
    control: str | None = None
    control_group: int | None = None

    @property
    def has_operator(self) -> bool:
        """Whether there can be an operator."""
        return self.operator or self.control is not None

    epoch: Epoch = Epoch.UNIX
    max_connections: int | None = None
    """None for as many as descriptors allow."""
    max_per_source: int | None = None
    """None for a quarter of that."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    udp_rate: int | None = None
    """Answers a second to one source, 0 for any number; None for the usual limit, which loopback does not have."""
    allow: Networks = field(default_factory=Networks)
    deny: Networks = field(default_factory=Networks)
    answer_low_ports: bool = False
    """Whether datagrams from ports below 1024 are answered."""
    answer_broadcast: bool = False
    """Whether datagrams to a broadcast or multicast address are answered."""
    require_sync: bool = False
    """Whether UDP is silent while the clock is not synchronized."""
    show_messages: int = 100
    drain_seconds: float = 5.0
