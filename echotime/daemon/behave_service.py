"""BehaveService: open, change and close the listeners of --behave, at the start and by `echotime control behave`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import MultiService

from echotime.behave.kinds import TCP_KINDS, UDP_KINDS
from echotime.behave.spec import BehavingAddress, Behavior
from echotime.behave.tcp.factory import BehavingFactory
from echotime.behave.udp.protocol import BehavingTimeProtocol
from echotime.daemon.listener_service import ListenFailedError, TCPListenerService, UDPListenerService
from echotime.daemon.listeners import AnyListener, Listeners
from echotime.errors import report_startup_failure
from echotime.net.tcp import EchoPort
from echotime.net.udp_port import SingleDatagramPort
from echotime.services.echo_factory import EchoFactory
from echotime.wire.hostport import HostPort

MAX_LISTENERS = 100
"""Most listeners of --behave at a time, because each one takes a descriptor from the clients."""
_PORT_ATTEMPTS = 20
"""Free TCP ports that are tried until the UDP port of the same number is free, too."""


class BehaveService(MultiService):
    """Hold the listeners that misbehave, which are also among `listeners`, all those of the daemon.

    `make_time_protocol` returns a BehavingTimeProtocol for a `behavior`. `port_options` are keyword arguments of the
    TCP and of the UDP ports. `on_lost` is as for ListenerService.
    """

    def __init__(
        self,
        requested: Sequence[BehavingAddress],
        factory: EchoFactory,
        make_time_protocol: Callable[..., BehavingTimeProtocol],
        listeners: Listeners,
        port_options: tuple[Mapping[str, Any], Mapping[str, Any]],
        on_lost: Callable[[str], object],
    ) -> None:
        super().__init__()
        self._requested = requested
        self._factory = factory
        self._make_time_protocol = make_time_protocol
        self._listeners = listeners
        self._tcp_options, self._udp_options = port_options
        self._on_lost = on_lost
        self._behaviors: dict[AnyListener, Behavior] = {}
        self.on_change: Callable[[], object] = lambda: None
        """Called after a listener was opened, changed or closed."""

    def privilegedStartService(self) -> None:
        """Open the listeners that were requested. Raises StartupError."""
        super().privilegedStartService()
        requested, self._requested = self._requested, ()
        try:
            for each in requested:
                self.apply(each)
        except ListenFailedError as error:
            raise report_startup_failure(str(error)) from error

    def startService(self) -> None:
        self.privilegedStartService()
        super().startService()

    @property
    def behaviors(self) -> Mapping[AnyListener, Behavior]:
        """Return the behavior of each listener, all of which are open."""
        return self._behaviors

    def rows(self) -> list[dict[str, str]]:
        """Return the address, the transport and the behavior of each listener."""
        return [_row(each, behavior) for each, behavior in self._behaviors.items()]

    def apply(self, requested: BehavingAddress) -> list[dict[str, str]]:
        """Change, open or close the listeners at an address. Return the rows of those that have the behavior then.

        A behavior concerns the listeners of its transports only. Raises ListenFailedError, or LookupError if there is
        no listener to close.
        """
        try:
            return self._apply(requested)
        finally:
            self.on_change()

    def _apply(self, requested: BehavingAddress) -> list[dict[str, str]]:
        address, behavior = requested
        present = {each.transport: each for each in self._behaviors if _bound_address(each) == address}
        if behavior is None:
            if not present:
                raise LookupError(f"no listener of --behave on {address}")
            for each in present.values():
                self._close(each)
            return []
        transports = ["tcp"] * (behavior.kind in TCP_KINDS) + ["udp"] * (behavior.kind in UDP_KINDS)
        opened = self._open(address, behavior, [each for each in transports if each not in present])
        changed = [present[each] for each in transports if each in present]
        for each in changed:
            self._set_behavior(each, behavior)
        return [_row(each, behavior) for each in (*changed, *opened)]

    def _open(self, address: HostPort, behavior: Behavior, transports: list[str]) -> list[AnyListener]:
        """Open a listener for each transport on the same port. Raises ListenFailedError."""
        if len(self._behaviors) + len(transports) > MAX_LISTENERS:
            raise ListenFailedError(f"cannot listen on {address}: more than {MAX_LISTENERS} listeners of --behave")
        attempts = _PORT_ATTEMPTS if address.port == 0 else 1
        while True:
            opened: list[AnyListener] = []
            attempts -= 1
            try:
                for transport in transports:
                    # the port that the kernel has chosen for the first
                    at = _bound_address(opened[0]) if opened else address
                    opened.append(self._open_one(transport, at, behavior))
                return opened
            except ListenFailedError:
                for each in opened:
                    self._close(each)
                if not opened or not attempts:
                    raise

    def _open_one(self, transport: str, address: HostPort, behavior: Behavior) -> AnyListener:
        listener: AnyListener
        if transport == "tcp":
            factory = BehavingFactory(self._factory, behavior)
            port = EchoPort(address.port, factory, interface=address.host, **self._tcp_options)
            listener = TCPListenerService(address, port, self._on_lost)
        else:
            protocol = self._make_time_protocol(behavior=behavior)
            udp_port = SingleDatagramPort(address.port, protocol, interface=address.host, **self._udp_options)
            listener = UDPListenerService(address, udp_port, self._on_lost)
        listener.remark = f"which misbehaves: {behavior}"
        listener.listen()
        self._behaviors[listener] = behavior
        self._listeners.add(listener)
        self.addService(listener)
        return listener

    def _set_behavior(self, listener: AnyListener, behavior: Behavior) -> None:
        handler = listener.port.factory if isinstance(listener, TCPListenerService) else listener.port.protocol
        handler.set_behavior(behavior)
        self._behaviors[listener] = behavior

    def _close(self, listener: AnyListener) -> None:
        del self._behaviors[listener]
        self._listeners.remove(listener)
        self.removeService(listener)


def _bound_address(listener: AnyListener) -> HostPort:
    return HostPort.from_sockaddr(listener.port.socket.getsockname())


def _row(listener: AnyListener, behavior: Behavior) -> dict[str, str]:
    return {"address": str(_bound_address(listener)), "transport": listener.transport, "behavior": str(behavior)}
