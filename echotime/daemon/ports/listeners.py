"""Build the listeners of a transport from the requested addresses and the inherited sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from echotime.daemon.ports.listener_service import TCPListenerService, UDPListenerService
from echotime.errors import report_startup_failure
from echotime.net.adopted import UnsuitableSocket
from echotime.systemd.activation import InheritedSockets, SocketNotPassed, SystemdSocket
from echotime.wire.hostport import HostPort

AnyListener = TCPListenerService | UDPListenerService


class Listeners(Iterable[AnyListener]):
    """Hold the open listeners of the daemon, those of TCP first. Those of --behave come and go."""

    def __init__(self, tcp: list[TCPListenerService], udp: list[UDPListenerService]) -> None:
        self.tcp = tcp
        self.udp = udp
        self._closed_errors: dict[str, Counter[str]] = {"tcp": Counter(), "udp": Counter()}

    def __iter__(self) -> Iterator[AnyListener]:
        return chain(self.tcp, self.udp)

    def add(self, listener: AnyListener) -> None:
        """Add a listener that has been opened."""
        if isinstance(listener, TCPListenerService):
            self.tcp.append(listener)
        else:
            self.udp.append(listener)

    def remove(self, listener: AnyListener) -> None:
        """Remove a listener that is being closed."""
        self._closed_errors[listener.transport] += listener.port.errors
        if isinstance(listener, TCPListenerService):
            self.tcp.remove(listener)
        else:
            self.udp.remove(listener)

    def errors(self, transport: str) -> Counter[str]:
        """Return the errors of all listeners of a transport since the start, by reason, also of closed ones."""
        listeners: Sequence[AnyListener] = self.tcp if transport == "tcp" else self.udp
        return sum((each.port.errors for each in listeners), self._closed_errors[transport])


ServiceT = TypeVar("ServiceT", TCPListenerService, UDPListenerService)


def build_listeners(
    service_class: type[ServiceT],
    addresses: Iterable[HostPort | SystemdSocket],
    make_handler: Callable[[], Any],
    port_options: Mapping[str, Any],
    inherited: InheritedSockets,
    on_lost: Callable[[str], object],
) -> Iterator[ServiceT]:
    """Yield a listener for each address and each inherited socket. None of them listens yet.

    `make_handler` returns the factory or protocol for a port. `port_options` are keyword arguments of the port class.
    Sockets that are requested by name are claimed first. Raises StartupError if a requested socket was not passed in.
    """
    make_port, transport = service_class.port_class, service_class.transport
    for each in sorted(addresses, key=lambda one: isinstance(one, SystemdSocket) and one.name is None):
        if isinstance(each, HostPort):
            port = make_port(each.port, make_handler(), interface=each.host, **port_options)
            yield service_class(each, port, on_lost)
            continue
        try:
            for descriptor in inherited.claim(transport, each):
                adopted = make_port.adopt(descriptor.fd, make_handler(), **port_options)
                address = HostPort(adopted.interface, adopted.port or 0)
                yield service_class(address, adopted, on_lost, f"passed in as {descriptor}")
        except SocketNotPassed as error:
            raise report_startup_failure(str(error), logged=False) from None
        except UnsuitableSocket as error:
            raise report_startup_failure(f"--{transport} {each}: {error}", logged=False) from None
