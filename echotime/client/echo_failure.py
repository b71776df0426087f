"""Describe how far an echo session came before it failed."""

from __future__ import annotations

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.wire.verify import Cause, VerifyResult


class EchoFailure(ClientError):
    """Report that an echo session failed after it was connected."""

    def __init__(
        self,
        error: ClientError,
        sent: int,
        received: int,
        half_closed_seconds: float | None,
        result: VerifyResult | None,
    ) -> None:
        self.result = result
        """The first difference from a correct answer. None if the answer was not verified."""
        super().__init__(*((ExitStatus.FAILED,) if self.has_wrong_byte else error.args))
        self.sent = sent
        self.received = received
        self.half_closed_seconds = half_closed_seconds
        """Seconds from the client's FIN to the end of the connection. None if it ended first, or without that FIN."""

    @property
    def has_wrong_byte(self) -> bool:
        """Return True if a byte of the answer was wrong, so that the end of the session does not matter."""
        return self.result is not None and bool(self.result.found)

    @property
    def cause(self) -> Cause | None:
        """The usual cause of a wrong or cut answer. None if an error ended the session, or nothing came at all."""
        if self.result is None or self.status is not ExitStatus.FAILED or self.detail:
            return None
        return self.result.cause

    @property
    def lost(self) -> int:
        """The number of sent bytes whose echo is missing, because the answer ended before it."""
        return 0 if self.result is None else self.result.lost
