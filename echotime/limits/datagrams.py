"""The interfaces of received datagrams, as the limits and DatagramPolicy need them. echotime.net implements them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Sender(Protocol):
    """The sender of a datagram: its address in the form of the socket module, and facts that the port knows."""

    size: int
    """The length of the datagram in bytes. Fewer may have been kept."""
    reply_failed: bool
    """True if the reply could not be sent."""
    ordinary: bool
    """True if none of the following is True. It may be False all the same, which takes more time."""
    is_unspecified: bool
    """True if the sender is 0.0.0.0 or ``::``. A neighbor can forge that, and the kernel would reply to loopback."""
    is_own_address: bool
    """True if the sender has the socket's port and an address of its host."""
    multicast_destination: bool
    """True if the datagram was sent to a broadcast or multicast address, as far as the kernel reports that."""
    ttl: int | None
    """The TTL or hop limit with which the datagram arrived; None if the port does not know it."""
    tos: int | None
    """The TOS byte or traffic class with which the datagram arrived; None if the port does not know it."""

    def __getitem__(self, index: int, /) -> Any:
        """Return the host without its interface (0) or the port (1)."""

    @property
    def host(self) -> str:
        """Return the numeric host, with the interface of a link-local address: ``fe80::1%2``."""


class DatagramBatch(Protocol):
    """The datagrams that one system call returned."""

    @property
    def count(self) -> int:
        """Return the number of datagrams."""

    @property
    def ordinary_addresses(self) -> bool:
        """Return True if each sender is ordinary and its port differs from the socket's."""

    def lengths(self) -> list[int]:
        """Return the lengths in bytes."""

    def source_ports(self) -> Sequence[int]: ...

    def hosts(self) -> Mapping[str, int]:
        """Return the number of datagrams by source, as Sender.host. This takes longer than the other methods."""
