"""BoundedAMP: what both ends of the control socket change in Twisted's AMP."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

MAX_KEYS = 32
"""Keys of an AMP box, at most. Each value has at most 65535 bytes."""


class BoundedAMP(amp.AMP):
    """Limit the keys of a box, and leave out the log lines with which amp.AMP begins and ends a connection."""

    transport: Any

    def makeConnection(self, transport: Any) -> None:
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        amp.BinaryBoxProtocol.connectionLost(self, reason)

    def dataReceived(self, data: bytes) -> None:
        """Handle received bytes. Raises ValueError if a box has too many keys."""
        super().dataReceived(data)
        if len(self._currentBox or ()) > MAX_KEYS:
            raise ValueError("too many keys in a box")
