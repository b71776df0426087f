"""Texts of the command line as values. Each raises ValueError in words that say what was expected."""

from __future__ import annotations

import difflib
import grp
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from echotime.config.settings import ListenAddress
from echotime.limits.access import Network
from echotime.systemd.activation import SystemdSocket
from echotime.wire import hostport
from echotime.wire.timestamp import Epoch

LISTEN_ADDRESS_FORM = "PORT, ADDRESS:PORT, [IPv6]:PORT, systemd or systemd:NAME"
_Choice = TypeVar("_Choice")
_EPOCHS = {"unix": Epoch.UNIX, "1900": Epoch.RFC868}
_MAX_INT = 2**31 - 1
_V4MAPPED_PREFIX_LENGTH = 96
"""Prefix length of the network of IPv4-mapped addresses, ::ffff:0:0/96 (RFC 4291)."""
_MAX_SOCKET_PATH = 107
"""sun_path of unix(7), without its NUL."""
_MAX_FD_NAME = 255
"""Of FileDescriptorName, in systemd.socket(5)."""
_DURATION = re.compile(r"([0-9]{1,10}(?:\.[0-9]*)?|\.[0-9]+)(ms|s|m|h|)")
_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def listen_address(text: str) -> ListenAddress | SystemdSocket:
    """An address, or ``systemd`` or ``systemd:NAME`` for sockets that the service manager passes in."""
    manager, colon, name = text.partition(":")
    if manager != "systemd":
        return host_and_port(text)
    if colon and not (0 < len(name) <= _MAX_FD_NAME and name.isascii() and name.isprintable() and ":" not in name):
        raise ValueError(f"'{name}' is no name of a descriptor; expected what FileDescriptorName= says in the .socket")
    return SystemdSocket(name or None)


def host_and_port(text: str) -> ListenAddress:
    """``12345``, ``127.0.0.1:12345`` or ``[::1]:12345``; a port alone is on every IPv4 address."""
    try:
        host, port = hostport.split_hostport(text)
        if port is None:
            raise ValueError(f"'{text}' has no port")
        number = hostport.parse_port(port)
        return ListenAddress("0.0.0.0" if host is None else _canonical_host(host, text), number)
    except ValueError as error:
        raise ValueError(f"{error}; expected {LISTEN_ADDRESS_FORM}") from None


def _canonical_host(host: str, text: str) -> str:
    """The address in its one canonical form: the ports know a wildcard address by it."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"'{host}' is no numeric address") from None
    if isinstance(found, ipaddress.IPv4Address) == text.startswith("["):
        raise ValueError(f"'{host}' goes {'without' if text.startswith('[') else 'with'} brackets")
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        raise ValueError(f"'{host}' is an IPv4 address; give it as {found.ipv4_mapped}")
    if isinstance(found, ipaddress.IPv6Address) and found.scope_id and not found.is_link_local:
        raise ValueError(f"'{host}': only a link-local address has an interface")
    return str(found)


def non_negative_int(text: str) -> int:
    """A whole number from 0 to 2**31-1."""
    return _parse_int(text, 0)


def positive_int(text: str) -> int:
    """A whole number from 1 to 2**31-1."""
    return _parse_int(text, 1)


def _parse_int(text: str, minimum: int) -> int:
    if not (text.isascii() and text.isdigit() and minimum <= int(text) <= _MAX_INT):
        raise ValueError(f"'{text}' is not understood; expected a whole number from {minimum} to {_MAX_INT}")
    return int(text)


def non_negative_seconds(text: str) -> float:
    """A time in seconds, not negative, fractions allowed, or with a unit."""
    found = _DURATION.fullmatch(text)
    if found is None or float(found[1]) * _UNITS[found[2]] > _MAX_INT:
        raise ValueError(f"'{text}' is no time; expected seconds, 0 or more, as in 5 or 0.5, or 500ms, 10s, 2m, 1h")
    return float(found[1]) * _UNITS[found[2]]


def positive_seconds(text: str) -> float:
    """As seconds, but more than none."""
    found = non_negative_seconds(text)
    if not found:
        raise ValueError(f"'{text}' leaves no time; expected more than 0 seconds, as in 30, 0.5 or 2m")
    return found


def socket_path(text: str) -> str:
    """Where a Unix socket can be, made absolute: twistd changes its directory."""
    path = os.path.abspath(text)  # noqa: PTH100 - resolve() would follow links
    if not text or len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        raise ValueError(f"'{text}' is no path of a Unix socket; expected 1 to {_MAX_SOCKET_PATH} bytes")
    if not Path(path).parent.is_dir():
        raise ValueError(f"there is no directory '{Path(path).parent}'")
    return path


def default_control_socket(environment: Mapping[str, str]) -> str | None:
    """The control socket of a daemon that systemd runs with RuntimeDirectory= (systemd.exec(5)); else None."""
    directory = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return f"{directory}/control" if directory and "INVOCATION_ID" in environment else None


def group_id(text: str) -> int:
    """A group's number, by name or number."""
    try:
        return int(text) if text.isascii() and text.isdigit() else grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError(f"there is no group '{text}'; expected the name or number of one") from None


def network(text: str) -> Network:
    """``192.0.2.0/24``, ``2001:db8::/32``, or one address."""
    expected = "expected a network as in 192.0.2.0/24 or 2001:db8::/32, or an address"
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"'{text}' is no network; {expected}") from None
    address = ipaddress.ip_address(text.partition("/")[0])
    if address != found.network_address:
        raise ValueError(f"'{text}' names an address within a network; {expected}, the nearest is {found}")
    if (
        isinstance(address, ipaddress.IPv6Address)
        and address.ipv4_mapped
        and found.prefixlen >= _V4MAPPED_PREFIX_LENGTH
    ):
        # no client would be in it: their addresses are taken for the IPv4 ones
        raise ValueError(
            f"'{text}' is an IPv4 network; give it as {address.ipv4_mapped}/{found.prefixlen - _V4MAPPED_PREFIX_LENGTH}"
        )
    return found


def epoch(text: str) -> Epoch:
    """``unix`` or ``1900``."""
    return _parse_choice(text, "epoch", _EPOCHS)


def _parse_choice(text: str, noun: str, choices: Mapping[str, _Choice]) -> _Choice:
    if text.lower() not in choices:
        near = difflib.get_close_matches(text.lower(), choices, n=1, cutoff=0)
        raise ValueError(f"'{text}' is no {noun}; expected {' or '.join(choices)}, the nearest is {near[0]}")
    return choices[text.lower()]
