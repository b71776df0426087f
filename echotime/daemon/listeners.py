"""Which listeners there are for what was asked: one for each address, and for each socket that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from echotime.daemon.listener_service import ListenerService
from echotime.errors import report_startup_failure
from echotime.net.adopted import UnsuitableSocket
from echotime.systemd.activation import InheritedSockets, SocketNotPassed, SystemdSocket
from echotime.wire.hostport import HostPort


def build_listeners(
    transport: str,
    addresses: Iterable[HostPort | SystemdSocket],
    make_port: partial[Any],
    make_handler: Callable[[], Any],
    inherited: InheritedSockets,
    on_lost: Callable[[str], object],
) -> Iterator[ListenerService]:
    """Of a transport, none of them open yet; by kind come those passed in that no name takes.

    `make_port` makes the port, which serves what `make_handler` makes; `on_lost` is told if one is lost. Raises
    StartupError.
    """
    for each in sorted(addresses, key=lambda one: isinstance(one, SystemdSocket) and one.name is None):
        if isinstance(each, HostPort):
            yield ListenerService(transport, each, make_port(each.port, make_handler(), interface=each.host), on_lost)
            continue
        try:
            for descriptor in inherited.claim(transport, each):
                adopted = make_port.func.adopt(descriptor.fd, make_handler(), **make_port.keywords)  # type: ignore[attr-defined]
                address = HostPort(adopted.interface, adopted.port)
                yield ListenerService(transport, address, adopted, on_lost, f"passed in as {descriptor}")
        except SocketNotPassed as error:
            raise report_startup_failure(str(error), logged=False) from None
        except UnsuitableSocket as error:
            raise report_startup_failure(f"--{transport} {each}: {error}", logged=False) from None
