"""Measure the services of a server for `echotime check`: one echo session, and one request for the time."""

from __future__ import annotations

import argparse
import os
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from echotime.cli.proxy_arguments import proxy_header
from echotime.client.deadline import Deadline
from echotime.client.exit_status import ClientError
from echotime.client.load import EchoSession, LoadResult
from echotime.client.lookup import ResolvedAddress, resolve
from echotime.client.time import TimeClient
from echotime.client.udp_request import UDPResponse

T = TypeVar("T")
_TRIES = 3
"""Requests for the time, in case datagrams are lost. Each may be answered until the deadline."""
_MESSAGE_BYTES = 5000
"""Enough for two messages, so that their order is verified, and few enough for the server's log."""


async def measure_services(reactor: Any, args: argparse.Namespace, services: Sequence[str]) -> dict[str, Any]:
    """Measure services (`tcp`, `udp`) at the same time, with one deadline.

    Return the outcome of each: a LoadResult for TCP, the address and the response for UDP, or ClientError. It is
    CancelledError for a service that has no outcome yet when the returned Deferred is cancelled.
    """
    deadline = Deadline(reactor, args.timeout)
    addresses = await _outcome(resolve(args.server, deadline, args.family))
    if isinstance(addresses, Exception):
        return dict.fromkeys(services, addresses)
    measure = {"tcp": _measure_tcp, "udp": _measure_udp}
    outcomes = [
        Deferred.fromCoroutine(_outcome(measure[each](reactor, args, addresses, deadline))) for each in services
    ]
    return dict(zip(services, await gatherResults(outcomes, consumeErrors=True), strict=True))


async def _outcome(measurement: Coroutine[Any, Any, T]) -> T | ClientError | CancelledError:
    try:
        return await measurement
    except (ClientError, CancelledError) as failed:
        return failed


async def _measure_tcp(
    reactor: Any, args: argparse.Namespace, addresses: Sequence[ResolvedAddress], deadline: Deadline
) -> LoadResult:
    # without line ends, so that the echo contains nothing that looks like the acknowledgement
    message = os.urandom(_MESSAGE_BYTES // 2).hex().encode()
    result = LoadResult()
    session = EchoSession(
        reactor, addresses, message, args.ack, args.reply, lambda: deadline, args.sockopt, proxy_header(args)
    )
    session.half_close = not args.no_half_close
    await session.run(result)
    return result


async def _measure_udp(
    reactor: Any, args: argparse.Namespace, addresses: Sequence[ResolvedAddress], deadline: Deadline
) -> tuple[ResolvedAddress, UDPResponse]:
    return await TimeClient(reactor, addresses, _TRIES, args.timeout / _TRIES, args.sockopt).query(deadline)
