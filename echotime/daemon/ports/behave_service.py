"""BehaveService: open, change and close the listeners of --behave, at the start and by `echotime control behave`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from twisted.application.service import MultiService

from echotime.behave.kinds import transports_of
from echotime.behave.spec import BehavingAddress, Behavior
from echotime.behave.tcp.client import Client
from echotime.behave.tcp.context import EndedConnections
from echotime.behave.tcp.factory import BehavingFactory
from echotime.behave.tcp.no_accept import NoAccept
from echotime.behave.tcp.report import Report
from echotime.behave.udp.protocol import BehavingTimeProtocol
from echotime.config.checks import MAX_BEHAVING_LISTENERS, repeated_behaviors
from echotime.config.parsers import behaving_address
from echotime.control.commands import CommandError, InvalidArgument
from echotime.daemon.ports.listener_service import ListenFailedError, TCPListenerService, UDPListenerService
from echotime.daemon.ports.listeners import AnyListener, Listeners
from echotime.errors import report_startup_failure
from echotime.logger import Logger
from echotime.net.tcp import EchoPort
from echotime.net.whole_datagrams import WholeDatagramPort
from echotime.services.echo_factory import EchoFactory
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.wire.hostport import HostPort

_PORT_ATTEMPTS = 20
"""Free TCP ports that are tried until the UDP port of the same number is free, too."""
_REPORTING_KINDS = {Client.name, Report.name}
"""Kinds that tell the client how its SYN arrived."""
_SAVE_SYN = BY_NAME["TCP_SAVE_SYN"]


class BehaveService(MultiService):
    """Hold the listeners that misbehave, which are also among `listeners`, all those of the daemon.

    `make_time_protocol` returns a BehavingTimeProtocol for a `behavior`. `port_options` returns the keyword arguments
    of TCP and of UDP ports, which a reload may change. `on_lost` is as for ListenerService.
    """

    _log = Logger()

    def __init__(
        self,
        requested: Sequence[BehavingAddress],
        factory: EchoFactory,
        make_time_protocol: Callable[..., BehavingTimeProtocol],
        listeners: Listeners,
        port_options: Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]],
        on_lost: Callable[[str], object],
    ) -> None:
        super().__init__()
        self._requested = requested
        self._factory = factory
        self._make_time_protocol = make_time_protocol
        self._listeners = listeners
        self._port_options = port_options
        self._on_lost = on_lost
        self._ended = EndedConnections()
        self._behaviors: dict[AnyListener, Behavior] = {}
        self.on_change: Callable[[], object] = lambda: None
        """Called after `change` has changed listeners."""

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

    def change(self, texts: Sequence[str]) -> list[dict[str, str]]:
        """Apply ``ADDRESS=KIND[:PARAMETER=VALUE,...]`` or ``ADDRESS=off``. Return the rows of what was changed.

        Without texts return all rows. Raises CommandError; a faulty text changes nothing.
        """
        if texts and not self.running:
            raise CommandError("the daemon is stopping")
        try:
            requested = [behaving_address(each) for each in texts]
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        for text, fault in zip(texts, repeated_behaviors(requested), strict=True):
            if fault:
                raise InvalidArgument(f"{text}: {fault}")
        try:
            changed = [row for each in requested for row in self.apply(each)]
        except (LookupError, ListenFailedError) as error:
            raise CommandError(str(error.args[0])) from None
        finally:
            if texts:
                self.on_change()
        return changed if texts else self.rows()

    def rows(self) -> list[dict[str, str]]:
        """Return the address, the transport and the behavior of each listener."""
        return [_row(each, behavior) for each, behavior in self._behaviors.items() if each.port.connected]

    def apply(self, requested: BehavingAddress) -> list[dict[str, str]]:
        """Change, open or close the listeners at an address. Return the rows of those that have the behavior then.

        A behavior concerns the listeners of its transports only. Raises ListenFailedError, or LookupError if there is
        no listener to close.
        """
        address, behavior = requested
        present = {each.transport: each for each in self._behaviors if _bound_address(each) == address}
        if behavior is None:
            if not present:
                raise LookupError(f"no listener of --behave on {address}")
            for each in present.values():
                self._close(each)
            return []
        transports = transports_of(behavior)
        opened = self._open(address, behavior, [each for each in transports if each not in present])
        changed = [present[each] for each in transports if each in present]
        for each in changed:
            self._set_behavior(each, behavior)
        return [_row(each, behavior) for each in (*changed, *opened)]

    def _open(self, address: HostPort, behavior: Behavior, transports: list[str]) -> list[AnyListener]:
        """Open a listener for each transport on the same port. Raises ListenFailedError."""
        if len(self._behaviors) + len(transports) > MAX_BEHAVING_LISTENERS:
            raise ListenFailedError(
                f"cannot listen on {address}: more than {MAX_BEHAVING_LISTENERS} listeners of --behave"
            )
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
        tcp_options, udp_options = self._port_options()
        if transport == "tcp":
            factory = BehavingFactory(self._factory, behavior, self._ended)
            port = EchoPort(address.port, factory, interface=address.host, **tcp_options)
            listener = TCPListenerService(address, port, self._on_lost)
        else:
            protocol = self._make_time_protocol(behavior=behavior)
            udp_port = WholeDatagramPort(address.port, protocol, interface=address.host, **udp_options)
            listener = UDPListenerService(address, udp_port, self._on_lost)
        listener.remark = f"which misbehaves: {behavior}"
        listener.listen()
        self._begin(listener, behavior)
        self._listeners.add(listener)
        self.addService(listener)
        return listener

    def _set_behavior(self, listener: AnyListener, behavior: Behavior) -> None:
        handler = listener.port.factory if isinstance(listener, TCPListenerService) else listener.port.protocol
        handler.set_behavior(behavior)
        self._begin(listener, behavior)
        self._log.warn("{name} misbehaves from now on: {behavior}", name=listener.label, behavior=str(behavior))

    def _begin(self, listener: AnyListener, behavior: Behavior) -> None:
        """Do what a behavior needs of the listener itself."""
        self._behaviors[listener] = behavior
        if not isinstance(listener, TCPListenerService):
            return
        port = listener.port
        if behavior.kind in _REPORTING_KINDS:
            with suppress(OSError):  # Linux before 4.2
                port.socket.setsockopt(socket.IPPROTO_TCP, _SAVE_SYN.number, 1)
        port.hold_accepting(behavior.kind == NoAccept.name)
        port.fix_backlog(behavior.values.get(NoAccept.backlog.name))

    def _close(self, listener: AnyListener) -> None:
        del self._behaviors[listener]
        self._listeners.remove(listener)
        self.removeService(listener)
        if not self.running:  # then it was only removed
            listener.stopService()
        self._log.info("stopped listening on {name}", name=listener.label)


def _bound_address(listener: AnyListener) -> HostPort:
    return HostPort.from_sockaddr(listener.port.socket.getsockname())


def _row(listener: AnyListener, behavior: Behavior) -> dict[str, str]:
    return {"address": str(_bound_address(listener)), "transport": listener.transport, "behavior": str(behavior)}
