"""SequentialAMP: an AMP connection whose commands are run one at a time.

AMP itself runs all commands that one read contains before the reactor serves others, and buffers all responses.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from echotime.control.bounded_amp import BoundedAMP


class SequentialAMP(BoundedAMP):
    """Run the next command when the one before has ended, the reactor has served others, and the peer has read.

    Reading stops while commands are queued, so the queue holds at most what one read contains. Anything but valid AMP
    aborts the connection.
    """

    clock: IReactorTime

    def __init__(self) -> None:
        super().__init__()
        self._queue: deque[amp.AmpBox] = deque()
        self._is_running = False
        """True from the start of a command until the reactor has served others after its end."""
        self._output_full = False
        self._aborted = False

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(transport)
        transport.registerProducer(self, True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._queue.clear()
        super().connectionLost(reason)
        self.transport = None

    def dataReceived(self, data: bytes) -> None:
        try:
            super().dataReceived(data)
        except Exception as error:
            self.abort(error)
        self._update_flow()

    def ampBoxReceived(self, box: Any) -> None:
        if amp.COMMAND not in box:
            super().ampBoxReceived(box)
        elif self._is_running:
            self._queue.append(box)
        else:
            self._run(box)

    def _run(self, box: Any) -> None:
        self._is_running = True
        super().ampBoxReceived(box)

    def dispatchCommand(self, box: Any) -> Any:
        return super().dispatchCommand(box).addBoth(self._command_ended)

    def _command_ended(self, result: Any) -> Any:
        self.clock.callLater(0, self._run_next)
        return result

    def _run_next(self) -> None:
        self._is_running = False
        if self._queue and not self._output_full:
            try:
                self._run(self._queue.popleft())
            except Exception as error:
                self.abort(error)
        self._update_flow()

    def _update_flow(self) -> None:
        if self.transport is None or self._aborted:
            return
        if self._output_full or self._queue:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def unhandledError(self, failure: Failure) -> None:
        self.abort(failure.value)

    def abort(self, error: BaseException | None) -> None:
        """Close the connection, and run no more of its commands."""
        self._aborted = True
        self._queue.clear()
        if self.transport is not None:
            self.transport.abortConnection()

    def pauseProducing(self) -> None:
        """Run no more commands, because the peer does not read the responses."""
        self._output_full = True
        self._update_flow()

    def resumeProducing(self) -> None:
        self._output_full = False
        if self._is_running:
            self._update_flow()
        else:
            self._run_next()

    def stopProducing(self) -> None:
        pass
