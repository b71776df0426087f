"""The interface of a listener to those that look after it: the health check and the control socket."""

from __future__ import annotations

from typing import Protocol

from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort


class Listener(Protocol):
    """A listening TCP or UDP port under the name that log and control socket use for it."""

    transport: str
    """``tcp`` or ``udp``."""
    port: EchoPort | TimePort

    @property
    def label(self) -> str:
        """Return transport and address, such as ``TCP 0.0.0.0:12345``, also of a port that is closed."""

    def errors(self) -> dict[str, int]:
        """Return how often connections or datagrams failed, by reason."""
