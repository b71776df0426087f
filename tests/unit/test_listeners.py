"""Test daemon/ports/listeners.py: the errors of listeners that come and go."""

from __future__ import annotations

import pytest

from echotime.daemon.ports.listener_service import TCPListenerService, UDPListenerService
from echotime.daemon.ports.listeners import AnyListener, Listeners
from echotime.net.tcp import EchoPort
from echotime.wire.hostport import HostPort
from tests.support.loopback import SERVED
from tests.support.recording_protocol import RecordingFactory


def make_listener(transport: str, errors: dict[str, int]) -> AnyListener:
    """Return a listener whose port has counted errors."""
    address = HostPort("127.0.0.1", 0)
    listener: AnyListener
    if transport == "tcp":
        listener = TCPListenerService(address, EchoPort(0, RecordingFactory()))
    else:
        listener = UDPListenerService(address, SERVED["portable"].on())
    listener.port.errors.update(errors)
    return listener


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_errors(transport: str) -> None:
    """The errors of a transport never decrease: those of a listener that was closed still count."""
    listeners = Listeners([], [])
    first = make_listener(transport, {"a": 1, "b": 2})
    for each in (first, make_listener(transport, {"b": 3})):
        listeners.add(each)
    assert listeners.errors(transport) == {"a": 1, "b": 5}
    listeners.remove(first)
    assert listeners.errors(transport) == {"a": 1, "b": 5}
    listeners.add(make_listener(transport, {"a": 4}))
    assert listeners.errors(transport) == listeners.errors(transport) == {"a": 5, "b": 5}
    assert listeners.errors("udp" if transport == "tcp" else "tcp") == {}
