"""net/tcp.py: real sockets on loopback, in the reactor of the tests."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread

from echotime.net.tcp import EchoPort
from echotime.sockopt.apply import OptionError
from echotime.sockopt.tcp_info import read_tcp_info
from tests.support.loopback import Mirror, Portable, SizesFactory, Started, deliver, get, open_descriptors, options


@pytest_twisted.ensureDeferred
async def test_messages_have_at_most_4096_bytes(started: Started) -> None:
    """An accepted connection is read 4096 bytes at a time, and has its options."""
    factory = SizesFactory(100_000)
    port = started(
        EchoPort(0, factory, interface="127.0.0.1", sockopts=options("SO_PRIORITY=5", "tcp:SO_KEEPALIVE=on"))
    )
    client = deferToThread(deliver, ("127.0.0.1", port.getHost().port), bytes(100_000))
    await factory.done
    handle = factory.connection.getHandle()
    assert max(factory.sizes) == 4096
    assert get(handle, "SO_PRIORITY") == 5, "not inherited, so it is set again"
    assert get(handle, "SO_KEEPALIVE") == 1
    assert get(handle, "TCP_NODELAY") == 1
    factory.connection.loseConnection()
    await client


@pytest_twisted.ensureDeferred
async def test_what_fails_on_connections_is_left_out(started: Started) -> None:
    """An option that the listener takes and connections refuse does not keep clients out."""
    factory = SizesFactory(2)
    # TCP_FASTOPEN_NO_COOKIE, which has no row: EINVAL on an accepted connection
    port = started(EchoPort(0, factory, interface="127.0.0.1", sockopts=options("6:34=1")))
    client = deferToThread(deliver, ("127.0.0.1", port.getHost().port), b"hi")
    await factory.done
    assert port.reapplied_options == []
    factory.connection.loseConnection()
    await client


@pytest_twisted.ensureDeferred
async def test_tcp_defaults(started: Started) -> None:
    """SO_REUSEADDR and TCP_NODELAY are on unless asked off; [::] serves both IP versions unless asked not to."""
    port = started(EchoPort(0, SizesFactory(1), interface="::"))
    assert (get(port.socket, "SO_REUSEADDR"), get(port.socket, "TCP_NODELAY")) == (1, 1)
    assert get(port.socket, "IPV6_V6ONLY") == 0
    asked = options("TCP_NODELAY=off", "SO_REUSEADDR=off", "IPV6_V6ONLY=on", "udp:IP_TTL=9", "SO_BROADCAST=on")
    other = started(EchoPort(0, SizesFactory(1), interface="::", sockopts=asked))
    assert (get(other.socket, "SO_REUSEADDR"), get(other.socket, "TCP_NODELAY")) == (0, 0)
    assert get(other.socket, "IPV6_V6ONLY") == 1
    assert [str(each.assignment) for each in other.read_back()] == [
        "SO_REUSEADDR=off",
        "IPV6_V6ONLY=on",
        "TCP_NODELAY=off",
    ]


@pytest.mark.parametrize("make", [EchoPort, Portable])
@pytest.mark.parametrize(("text", "error"), [("SO_BINDTODEVICE=none0", OptionError), ("IP_TTL=9", CannotListenError)])
def test_failed_start_leaves_nothing(make: Any, text: str, error: type[Exception]) -> None:
    """A port whose option or bind fails raises, and keeps no descriptor."""
    descriptors = open_descriptors()
    port = make(0, Mirror() if make is Portable else SizesFactory(1), interface="192.0.2.1", sockopts=options(text))
    with pytest.raises(error):
        port.startListening()
    assert open_descriptors() <= descriptors


@pytest_twisted.ensureDeferred
async def test_change(started: Started) -> None:
    """An option that is changed on a live port is read back, and holds for connections to come."""
    factory = SizesFactory(2)
    port = started(EchoPort(0, factory, interface="127.0.0.1", sockopts=options("SO_PRIORITY=2")))
    (keepalive, priority) = options("SO_KEEPALIVE=on", "SO_PRIORITY=4")
    assert str(port.set_option(keepalive)) == "SO_KEEPALIVE requested on, effective on"
    port.set_option(priority)
    assert [str(each.assignment) for each in port.read_back()] == ["SO_KEEPALIVE=on", "SO_PRIORITY=4"]
    client = deferToThread(deliver, ("127.0.0.1", port.getHost().port), b"hi")
    await factory.done
    connection = factory.connection
    assert (get(connection.socket, "SO_KEEPALIVE"), get(connection.socket, "SO_PRIORITY")) == (1, 4)
    (off,) = options("SO_KEEPALIVE=off")
    assert str(connection.set_option(off)) == "SO_KEEPALIVE requested off, effective off"
    assert get(port.socket, "SO_KEEPALIVE") == 1, "that was the connection's alone"
    connection.loseConnection()
    await client


@pytest_twisted.ensureDeferred
async def test_listen_again(started: Started) -> None:
    """How many connections may wait is changed while it listens."""
    port = started(EchoPort(0, SizesFactory(1), interface="127.0.0.1", backlog=7))
    assert read_tcp_info(port.socket).accept_queue_limit == 7
    port.set_backlog(9)
    assert (read_tcp_info(port.socket).accept_queue_limit, port.backlog) == (9, 9)
