"""SockoptPortMixin: set socket options before bind, set them late on adopted sockets, and read them back.

Which options fit, and which are set by default, depends on the kind of socket that an address makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from socket import socket as Socket
from typing import TYPE_CHECKING, Any

from twisted.internet.base import BasePort

from echotime.net.adopted import adopt_socket
from echotime.net.sharing import mark_served
from echotime.sockopt.apply import ReadBack, apply, apply_after_bind, read_back
from echotime.sockopt.assignment import Assignment, select_assignments
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.option import Option, SocketTraits
from echotime.wire.hostport import HostPort

if TYPE_CHECKING:
    from typing_extensions import Self

_ANY_IPV4 = frozenset({"", "0.0.0.0"})
_ANY_IPV6 = "::"
_EXCLUSIVE = {"SO_TIMESTAMP", "SO_TIMESTAMPNS"}
"""Options each of which turns the other off."""


def _share_value(one: Option, other: Option) -> bool:
    """Return True if setting one option changes the value of the other."""
    is_same = (one.level_number, one.number_read) == (other.level_number, other.number_read)
    return is_same or {one.name, other.name} == _EXCLUSIVE


def socket_kind(transport: str, interface: str) -> SocketTraits:
    """Return the kind of socket on an address; ``::`` makes one for both IP versions."""
    if interface == _ANY_IPV6:
        return SocketTraits(transport, frozenset({4, 6}))
    return SocketTraits(transport, frozenset({6 if ":" in interface else 4}))


def _default_options(transport: str, interface: str) -> Iterable[Assignment]:
    """Return the options that a port sets unless it is configured otherwise."""
    # on UDP, SO_REUSEADDR before bind would share the port with any other socket that has it, whichever binds first
    names = {"SO_REUSEADDR": int(transport == "tcp")}
    if transport == "tcp":
        names["TCP_NODELAY"] = 1
    elif interface in _ANY_IPV4:
        names["IP_PKTINFO"] = 1
    elif interface == _ANY_IPV6:
        names["IPV6_RECVPKTINFO"] = 1
    if interface == _ANY_IPV6:
        names["IPV6_V6ONLY"] = 0
    return (Assignment(BY_NAME[name], value) for name, value in names.items())


class SockoptPortMixin(BasePort):
    """Set options on the socket of a tcp.Port or udp.Port, whose class this one precedes in the bases.

    The class that mixes takes (port, factory or protocol, interface=...).
    """

    interface: str
    port: Any
    socket: Socket
    _preexistingSocket: Any
    adopted = False
    """True for a port on a socket that was passed in."""
    _created: Socket | None = None

    def select_options(self, transport: str, sockopts: Sequence[Assignment]) -> None:
        """Keep those of `sockopts` that fit this port, and the defaults for options that `sockopts` leaves out."""
        self.kind = socket_kind(transport, self.interface)
        self._sockopts = select_assignments(sockopts, self.kind)
        self._effective_options = select_assignments(
            (*_default_options(transport, self.interface), *sockopts), self.kind
        )

    @classmethod
    def adopt(cls, descriptor: int, handler: Any, **options: Any) -> Self:
        """Return a port on a bound (for TCP: listening) socket. `options` are those of the constructor.

        The descriptor is duplicated and stays the caller's. Raises UnsuitableSocket.
        """
        sock = adopt_socket(descriptor, cls.socketType)
        host, number = HostPort.from_sockaddr(sock.getsockname())
        port = cls(number, handler, interface=host, **options)  # type: ignore[call-arg, arg-type]
        port._preexistingSocket = sock
        port.adopted = True
        return port

    @property
    def adopted_socket(self) -> Socket | None:
        """Return the adopted socket until it listens, None if this port made its own."""
        return self._preexistingSocket if self.adopted else None

    def createInternetSocket(self) -> Socket:
        """Return a socket with its options set, not yet bound. Raises OSError or OptionError."""
        self._created = super().createInternetSocket()
        apply(self._created, self._effective_options)
        return self._created

    def startListening(self) -> None:
        """Bind (and listen); on an adopted socket set the options that can still have an effect."""
        self._sockaddr = HostPort(self.interface, self.port or 0).sockaddr()
        if self._preexistingSocket is not None:
            apply_after_bind(self._preexistingSocket, self._effective_options)
        try:
            super().startListening()  # type: ignore[misc]
        except Exception:
            # Twisted does not close a socket that it cannot bind, or that an option cannot be set on
            if self._created is not None:
                self._created.close()
            raise
        mark_served(self.socket)

    def set_option(self, assignment: Assignment) -> ReadBack:
        """Set an option on the live socket, which its later connections inherit. Raises OptionError.

        The caller must refuse an option that has an effect only before bind.
        """
        apply(self.socket, [assignment])
        self._sockopts, self._effective_options = (
            (*(each for each in options if each.option != assignment.option), assignment)
            for options in (self._sockopts, self._effective_options)
        )
        return read_back(self.socket, assignment)

    def is_overridden(self, option: Option) -> bool:
        """Return True if an option that changes the same value was set later than `option`, which a start sets last."""
        now = [each.option for each in self._sockopts]
        at_start = [each.option for each in select_assignments(self._sockopts, self.kind)]
        later = now[now.index(option) + 1 :] if option in now else []
        return any(_share_value(other, option) and other in at_start[: at_start.index(option)] for other in later)

    def read_back(self) -> list[ReadBack]:
        """Return the requested and the effective value of each requested option, in the order of setting."""
        return [read_back(self.socket, each, was_bound=self.adopted) for each in self._sockopts]
