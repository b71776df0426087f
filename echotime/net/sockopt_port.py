"""What both of our ports do with socket options: set before bind, set late on adopted sockets, read back."""

from __future__ import annotations

from collections.abc import Sequence
from socket import socket as Socket
from typing import TYPE_CHECKING, Any

from twisted.internet.base import BasePort

from echotime.net.adopted import adopt_socket
from echotime.net.socket_kind import effective_options, socket_kind
from echotime.sockopt.apply import ReadBack, apply, apply_after_bind, read_back
from echotime.sockopt.assignment import Assignment, select_assignments

if TYPE_CHECKING:
    from typing_extensions import Self


class SockoptPortMixin(BasePort):
    """A mixin in front of tcp.Port or udp.Port; the class that mixes takes (port, served, interface=...)."""

    interface: str
    socket: Socket
    _preexistingSocket: Any
    _adopted = False
    _created: Socket | None = None

    def select_options(self, transport: str, sockopts: Sequence[Assignment]) -> None:
        """Keep of `sockopts` what fits this port, and what is set where nothing was asked."""
        self.kind = socket_kind(transport, self.interface)
        self._sockopts = select_assignments(sockopts, self.kind)
        self._effective_options = effective_options(transport, self.interface, sockopts)

    @classmethod
    def adopt(cls, descriptor: int, handler: Any, **options: Any) -> Self:
        """A port on a socket that is bound (for TCP: listening) already; `options` as for the constructor.

        The descriptor is duplicated and stays the caller's. Raises UnsuitableSocket.
        """
        sock = adopt_socket(descriptor, cls.socketType)
        host, number = sock.getsockname()[:2]
        port = cls(number, handler, interface=host, **options)  # type: ignore[call-arg]
        port._preexistingSocket = sock
        port._adopted = True
        return port

    @property
    def adopted_socket(self) -> Socket | None:
        """The socket that it was given, if it was adopted."""
        return self._preexistingSocket if self._adopted else None

    def createInternetSocket(self) -> Socket:
        """A socket with its options set, not bound yet. Raises OSError or OptionError."""
        self._created = super().createInternetSocket()
        apply(self._created, self._effective_options)
        return self._created

    def startListening(self) -> None:
        """Bind (and listen); on an adopted socket set the options that can still have an effect."""
        if self._preexistingSocket is not None:
            apply_after_bind(self._preexistingSocket, self._effective_options)
        try:
            super().startListening()  # type: ignore[misc]
        except Exception:
            # Twisted leaves a socket open that it cannot bind or that we cannot set an option on
            if self._created is not None:
                self._created.close()
            raise

    def set_option(self, assignment: Assignment) -> ReadBack:
        """Set an option on the live socket, and for what it accepts from now on. Raises OptionError.

        What only bind looks at is the caller's to refuse.
        """
        apply(self.socket, [assignment])
        self._sockopts, self._effective_options = (
            (*(each for each in options if each.option != assignment.option), assignment)
            for options in (self._sockopts, self._effective_options)
        )
        return read_back(self.socket, assignment)

    def read_back(self) -> list[ReadBack]:
        """What was asked of this socket and what the kernel says, in the order of setting."""
        return [read_back(self.socket, each, was_bound=self._adopted) for each in self._sockopts]
