"""Test what zope.interface knows of a TCP behavior, by which a transport decides what a FIN means."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import providedBy

from echotime.behave.kinds import TCP_KINDS
from echotime.behave.tcp.interposer import Interposer
from echotime.net.connection import EchoConnection


@pytest.mark.parametrize("name", sorted(TCP_KINDS))
def test_half_closeable(name: str) -> None:
    """Every kind is half-closeable, and not what its transport is, even if that was looked up first."""
    transport = EchoConnection.__new__(EchoConnection)
    providedBy(transport)

    class New(cast(Any, TCP_KINDS[name])):  # type: ignore[misc]
        """A kind of which zope.interface knows nothing yet."""

    behavior = cast(Interposer, New.__new__(New))
    behavior.transport = transport
    assert IHalfCloseableProtocol.providedBy(behavior)
