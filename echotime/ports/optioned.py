"""What both of our ports do with socket options: set before bind, set late on adopted sockets, read back."""

from __future__ import annotations

from collections.abc import Sequence
from socket import socket as Socket
from typing import TYPE_CHECKING, Any

from twisted.internet.base import BasePort

from echotime.ports.adopted import adopted
from echotime.ports.target import settled, target
from echotime.sockopt.apply import Reading, apply, apply_late, read
from echotime.sockopt.assignment import Assignment, chosen

if TYPE_CHECKING:
    from typing_extensions import Self


class OptionedPort(BasePort):
    """A mixin in front of tcp.Port or udp.Port; the class that mixes takes (port, served, interface=...)."""

    interface: str
    socket: Socket
    _preexistingSocket: Any
    _adopted = False
    _created: Socket | None = None

    def take_options(self, transport: str, asked: Sequence[Assignment]) -> None:
        """Keep of `asked` what fits this port, and what is set where nothing was asked."""
        self.kind = target(transport, self.interface)
        self._asked = chosen(asked, self.kind)
        self._settled = settled(transport, self.interface, asked)

    @classmethod
    def adopt(cls, descriptor: int, served: Any, **options: Any) -> Self:
        """A port on a socket that is bound (for TCP: listening) already; `options` as for the constructor.

        The descriptor is duplicated and stays the caller's. Raises WrongDescriptor.
        """
        sock = adopted(descriptor, cls.socketType)
        host, number = sock.getsockname()[:2]
        port = cls(number, served, interface=host, **options)  # type: ignore[call-arg]
        port._preexistingSocket = sock
        port._adopted = True
        return port

    @property
    def passed_in(self) -> Socket | None:
        """The socket that it was given, if it was adopted."""
        return self._preexistingSocket if self._adopted else None

    def createInternetSocket(self) -> Socket:
        """A socket with its options set, not bound yet. Raises OSError or OptionFailed."""
        self._created = super().createInternetSocket()
        apply(self._created, self._settled)
        return self._created

    def startListening(self) -> None:
        """Bind (and listen); on an adopted socket set the options that can still have an effect."""
        if self._preexistingSocket is not None:
            apply_late(self._preexistingSocket, self._settled)
        try:
            super().startListening()  # type: ignore[misc]
        except Exception:
            # Twisted leaves a socket open that it cannot bind or that we cannot set an option on
            if self._created is not None:
                self._created.close()
            raise

    def change(self, asked: Assignment) -> Reading:
        """Set an option on the live socket, and for what it accepts from now on. Raises OptionFailed.

        What only bind looks at is the caller's to refuse.
        """
        apply(self.socket, [asked])
        self._asked, self._settled = (
            (*(each for each in options if each.option != asked.option), asked)
            for options in (self._asked, self._settled)
        )
        return read(self.socket, asked)

    def readings(self) -> list[Reading]:
        """What was asked of this socket and what the kernel says, in the order of setting."""
        return [read(self.socket, each, bound_before=self._adopted) for each in self._asked]
