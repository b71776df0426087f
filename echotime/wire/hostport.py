"""Format and split addresses with ports. No name is looked up."""

from __future__ import annotations

import re
from gettext import gettext as _
from typing import NamedTuple

DEFAULT_PORT = 12345
"""Port of both services, of the daemon and of the tools."""

_V4MAPPED_PREFIX = "::ffff:"
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::([^:]*))?")
_PORT = re.compile(r"[0-9]{1,5}")
_MAX_PORT = 65535


class HostPort(NamedTuple):
    """Hold a host, by name or numeric address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return format_hostport(self.host, self.port)


def format_hostport(host: str, port: int) -> str:
    """Return ``127.0.0.1:12345`` or ``[::1]:12345``. An IPv4-mapped IPv6 address is shown as IPv4."""
    if host.startswith(_V4MAPPED_PREFIX) and "." in host:
        host = host[len(_V4MAPPED_PREFIX) :]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_hostport(text: str) -> tuple[str | None, str | None]:
    """Split ``PORT``, ``HOST``, ``HOST:PORT``, ``[IPv6]`` or ``[IPv6]:PORT`` into host and port, None if absent.

    Digits alone are a port. Raises ValueError for an IPv6 address without brackets.
    """
    if found := _BRACKETED.fullmatch(text):
        return found[1], found[2]
    if text.count(":") > 1:
        raise ValueError(_("an IPv6 address needs brackets, as in [::1]:12345"))
    host, colon, port = text.partition(":")
    if colon:
        return host, port
    return (None, text) if text.isdigit() else (text, None)


def parse_port(text: str) -> int:
    """Return a port number from 0 to 65535. Raises ValueError."""
    if not _PORT.fullmatch(text) or int(text) > _MAX_PORT:
        raise ValueError(
            _("invalid port '{text}'; expected a number from 0 to {highest}").format(text=text, highest=_MAX_PORT)
        )
    return int(text)
