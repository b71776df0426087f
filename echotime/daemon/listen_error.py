"""Explain why a listener cannot be opened, with a hint for the causes that users meet."""

from __future__ import annotations

import errno

from twisted.internet.error import CannotListenError

from echotime.sockopt.errno_name import errno_name
from echotime.wire.hostport import HostPort

_HINTS = {
    errno.EADDRINUSE: "another socket holds the port",
    errno.EAFNOSUPPORT: "the kernel has no such sockets, or a sandbox forbids them (RestrictAddressFamilies= of "
    "systemd), as that of echotime.service, where only what echotime.socket passes in is served",
    errno.EADDRNOTAVAIL: "this host does not have the address",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE, or root",
}


def listen_error_message(transport: str, address: HostPort, error: Exception) -> str:
    """Which address cannot be served, and why."""
    cause = error.socketError if isinstance(error, CannotListenError) else error
    if not isinstance(cause, OSError):
        return f"cannot listen on {transport} {address}: {cause}"
    hint = f": {_HINTS[cause.errno]}" if cause.errno in _HINTS else ""
    if cause.errno == errno.EADDRINUSE and ":" not in address.host:
        hint += "; one on [::] holds the IPv4 port, too"
    if cause.errno == errno.EINVAL and address.host.lower().startswith("fe80:") and "%" not in address.host:
        hint = f": a link-local address needs its interface, as in [{address.host}%eth0]"
    return f"cannot listen on {transport} {address}: {cause.strerror} ({errno_name(cause)}){hint}"
