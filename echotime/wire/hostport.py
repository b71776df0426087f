"""Format and split addresses with ports, and convert them to socket addresses. No name is looked up."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from gettext import gettext as _
from typing import Any, NamedTuple

DEFAULT_PORT = 12345
"""Port of both services, of the daemon and of the tools."""
WILDCARDS = frozenset({"0.0.0.0", "::"})
"""Hosts that stand for every address of an IP version, ``::`` for those of IPv4, too, unless IPV6_V6ONLY is set."""
_V4MAPPED_PREFIX = "::ffff:"
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::([^:]*))?")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_LEADING_ZERO = re.compile(r"0[0-9]+")
_MAX_PORT = 65535
_IPV6 = 6


class HostPort(NamedTuple):
    """Hold a host, by name or numeric address, and a port.

    A link-local address contains its interface, by name or number: ``fe80::1%eth0``.
    """

    host: str
    port: int

    @classmethod
    def from_sockaddr(cls, sockaddr: tuple[Any, ...]) -> HostPort:
        """Return the host, with its interface by name, and the port of an address in the form of the socket module."""
        host, port, *rest = sockaddr
        if rest and rest[1]:
            host = socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
        return cls(host, port)

    def sockaddr(self) -> tuple[Any, ...]:
        """Return a numeric address in the form of the socket module.

        The interface is a number there, which (host, port) alone would lose. Raises OSError (ENODEV) if there is no
        such interface.
        """
        host, _percent, interface = self.host.partition("%")
        return (host, self.port, 0, _interface_number(interface)) if ":" in host else (host, self.port)

    def overlaps(self, other: HostPort, *, dual_stack: bool) -> bool:
        """Return True if a packet to one address may be for the other, too: they are equal, or one is a wildcard.

        `dual_stack` says whether ``[::]`` includes IPv4 (ipv6(7), IPV6_V6ONLY).
        """
        if self.port != other.port:
            return False
        hosts = {self.host, other.host}
        if len({":" in host for host in hosts}) == 1:
            return len(hosts) == 1 or not hosts.isdisjoint(WILDCARDS)
        return dual_stack and "::" in hosts

    def __str__(self) -> str:
        return format_hostport(self.host, self.port)


def _interface_number(interface: str) -> int:
    if interface.isascii() and interface.isdigit():
        return int(interface)
    try:
        return socket.if_nametoindex(interface) if interface else 0
    except (OSError, ValueError):  # Python gives no errno
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def format_host(host: str) -> str:
    """Return a host, an IPv4-mapped IPv6 address as IPv4."""
    return host.removeprefix(_V4MAPPED_PREFIX) if "." in host else host


def format_hostport(host: str, port: int) -> str:
    """Return ``127.0.0.1:12345`` or ``[::1]:12345``. An IPv4-mapped IPv6 address is shown as IPv4."""
    host = format_host(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_of(peer: str) -> str:
    """Return the host of what `format_hostport` returned."""
    return peer.rpartition(":")[0].removeprefix("[").removesuffix("]")


def split_hostport(text: str, form: str = "HOST:PORT") -> tuple[str | None, str | None]:
    """Split ``PORT``, ``HOST``, ``HOST:PORT``, ``[IPv6]`` or ``[IPv6]:PORT`` into host and port, None if absent.

    Digits alone are a port. Raises ValueError for a URL, and for an IPv6 address without brackets. `form` is what the
    message says is expected.
    """
    scheme, separator, rest = text.partition("://")
    if separator:
        raise ValueError(
            _("'{text}' has a scheme, {scheme}://; expected {rest}").format(
                text=text, scheme=scheme, rest=rest.partition("/")[0] or form
            )
        )
    if found := _BRACKETED.fullmatch(text):
        return found[1], found[2]
    if text.startswith("["):
        _check_brackets(text)
    host, colon, port = text.rpartition(":")
    if ":" in host:
        for address, number in ((host, port), (text, DEFAULT_PORT)):
            if is_ipv6(address):
                form = f"[{address}]:{number}"
                raise ValueError(_("an IPv6 address needs brackets, as in {form}").format(form=form))
        raise ValueError(
            _("'{text}' has more than one colon; expected {form} or [IPv6]:PORT").format(text=text, form=form)
        )
    if colon:
        return host, port
    return (None, text) if text.isdigit() else (text, None)


def _check_brackets(text: str) -> None:
    """Raise ValueError if a text that begins with a bracket lacks the other one, or a colon after it."""
    _host, bracket, rest = text.partition("]")
    if not bracket:
        raise ValueError(_("']' is missing in '{text}'; expected [IPv6] or [IPv6]:PORT").format(text=text))
    if not rest.startswith(":"):
        raise ValueError(_("':' is missing after ']' in '{text}'; expected [IPv6]:PORT").format(text=text))


def is_ipv6(text: str) -> bool:
    """Return True for an IPv6 address without brackets."""
    try:
        return ipaddress.ip_address(text).version == _IPV6
    except ValueError:
        return False


def parse_port(text: str, lowest: int = 0) -> int:
    """Return a port number from `lowest` to 65535. Raises ValueError."""
    if _PORT.fullmatch(text) and lowest <= int(text) <= _MAX_PORT:
        return int(text)
    if _LEADING_ZERO.fullmatch(text):
        reason = _("port '{text}' has a leading zero")
    elif text[:1].isalpha():
        reason = _("'{text}' is no port number, and service names are not looked up")
    else:
        reason = _("invalid port '{text}'")
    expected = _("; expected a number from {lowest} to {highest}").format(lowest=lowest, highest=_MAX_PORT)
    raise ValueError(reason.format(text=text) + expected)
