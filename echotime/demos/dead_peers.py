"""Demonstrate how a dead peer is detected: SO_KEEPALIVE and TCP_USER_TIMEOUT.

IP_MINTTL=255 makes a peer look dead: its kernel drops every segment that arrives with a lower TTL and answers nothing.
To the other side that looks like a pulled cable.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, attempt, describe_result, expect, result_of
from echotime.i18n.language import gettext as _
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import read_tcp_info
from echotime.sockopt.values import N_

_IP_MINTTL = 21
_MAX_WAIT_MS = 3000
"""Milliseconds after which a demonstration gives up."""


def keepalive() -> Iterator[Entry]:
    """Show that SO_KEEPALIVE, with the shortest times, detects a dead peer."""
    yield Section(N_("two idle connections whose clients die: one with SO_KEEPALIVE, one without"))
    with Scratch() as scratch:
        plain, watched = _connection_to_dead_client(scratch), _connection_to_dead_client(scratch)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
            watched.setsockopt(socket.IPPROTO_TCP, option, 1)
        watched.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        yield Step(SERVER, N_("SO_KEEPALIVE=1, TCP_KEEPIDLE, _INTVL and _CNT=1"), "ok")
        yield from _wait_for_timeout(watched, "SO_KEEPALIVE", 1.5, 2.9)
        yield _recv_without(plain, "SO_KEEPALIVE", N_("it would wait forever"))


def user_timeout() -> Iterator[Entry]:
    """Show that TCP_USER_TIMEOUT limits how long sent data stays unacknowledged."""
    yield Section(N_("two connections with unacknowledged data whose clients die: one with TCP_USER_TIMEOUT=500"))
    with Scratch() as scratch:
        plain, watched = _connection_to_dead_client(scratch), _connection_to_dead_client(scratch)
        watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
        for sock in (plain, watched):
            sock.send(b"are you there?")
        yield from _wait_for_timeout(watched, "TCP_USER_TIMEOUT", 0.4, 2.0)
        remark = N_("net.ipv4.tcp_retries2 sets its timeout: a quarter of an hour")
        yield _recv_without(plain, "TCP_USER_TIMEOUT", remark)
        retransmits = str(read_tcp_info(plain).total_retransmits)
        expected = expect(retransmits, retransmits != "0", "1")
        yield Step(SERVER, N_("its retransmissions so far, by TCP_INFO"), retransmits, expected=expected)


def _connection_to_dead_client(scratch: Scratch) -> socket.socket:
    """Return the server's side of a connection whose client receives nothing from now on."""
    client, connection = scratch.connection_pair()
    connection.recv(1)
    client.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, 255)
    return connection


def _wait_for_timeout(
    connection: socket.socket, option: str, min_seconds: float, max_seconds: float
) -> Iterator[Entry]:
    yield Step(CLIENT, N_("no longer responds"))
    started_at = time.monotonic()
    poller = select.poll()
    poller.register(connection, 0)
    poller.poll(_MAX_WAIT_MS)
    elapsed = time.monotonic() - started_at
    template = _("{result} after {seconds} s")
    outcome = result_of(connection.recv, 100)
    result = template.format(result=describe_result(outcome), seconds=f"{elapsed:.1f}")
    ok = outcome == "ETIMEDOUT" and min_seconds < elapsed < max_seconds
    text = _("recv(100), with {option}").format(option=option)
    expected = template.format(result=describe_result("ETIMEDOUT"), seconds=min_seconds)
    yield Step(SERVER, text, result, expected=expect(result, ok, expected))


def _recv_without(connection: socket.socket, option: str, remark: str) -> Step:
    connection.setblocking(False)
    text = _("recv(100), without {option}").format(option=option)
    return attempt(SERVER, connection.recv, 100, text=text, remark=remark, expected="nothing")
