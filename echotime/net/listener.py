"""The interfaces of ports and listeners to the daemon's services, the health check and the control socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.python.failure import Failure

from echotime.sockopt.apply import ReadBack
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.option import SocketTraits

DROPPED_BY_KERNEL = "dropped by the kernel"
"""Key of Listener.errors() for the datagrams that the kernel dropped."""


class SockoptSocket(Protocol):
    """A socket whose options can be set and read back: that of a port or of a connection."""

    socket: Any

    @property
    def kind(self) -> SocketTraits:
        """Return the transport and the IP versions, which decide the options that fit."""

    def set_option(self, assignment: Assignment) -> ReadBack:
        """Set an option on the live socket. Raises OptionError."""

    def read_back(self) -> list[ReadBack]:
        """Return the requested and the effective value of each requested option."""


class ListeningPort(SockoptSocket, Protocol):
    """A TCP or UDP port with socket options, such as EchoPort and TimePort."""

    connected: Any
    """True while the port listens."""
    errors: Counter[str]
    """Failed system calls and datagrams that were not answered, by reason."""
    on_lost: Callable[[Failure], object] | None
    """Called when the port closes without stopListening."""

    def startListening(self) -> None:
        """Bind and listen. Raises CannotListenError, OSError or OptionError."""

    def stopListening(self) -> Any:
        """Close the port. Return a Deferred or None."""

    def getHost(self) -> Any:
        """Return the address that the port is bound to."""


PortT_co = TypeVar("PortT_co", bound=ListeningPort, covariant=True)


class Listener(Protocol[PortT_co]):
    """A port with the name that the log and the control socket use for it."""

    @property
    def port(self) -> PortT_co:
        """Return the port, open or not."""

    @property
    def label(self) -> str:
        """Return transport and address, such as ``TCP 0.0.0.0:12345``, also of a port that is closed."""

    def errors(self) -> dict[str, int]:
        """Return how often connections or datagrams failed, by reason. Return nothing for a closed port."""
