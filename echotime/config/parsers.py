"""Parsers of option values that only the daemon has.

Each raises ValueError with a message that names what is accepted.
"""

from __future__ import annotations

import grp
import ipaddress
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from echotime.behave.kinds import parse_behavior
from echotime.behave.spec import BehavingAddress
from echotime.limits.access import Network
from echotime.systemd.activation import SystemdSocket
from echotime.wire import hostport
from echotime.wire.hostport import HostPort

_ADDRESS_FORMS = "PORT, *:PORT, ADDRESS:PORT or [IPv6]:PORT"
_LISTEN_FORMS = "PORT, *:PORT, ADDRESS:PORT, [IPv6]:PORT, systemd or systemd:NAME"
_HTTP_FORMS = "PORT, *:PORT, ADDRESS:PORT, [IPv6]:PORT, systemd:NAME, or the PATH of a Unix socket, with a slash"
_V4MAPPED_PREFIX_LENGTH = 96
"""Prefix length of the network of IPv4-mapped addresses, ::ffff:0:0/96 (RFC 4291)."""
_MAX_SOCKET_PATH = 107
"""Length of sun_path (unix(7)) without its NUL."""
_MAX_FD_NAME = 255
"""Longest FileDescriptorName= (systemd.socket(5))."""

LOG_KINDS = {"datagrams": "udp", "empty": "tcp"}
"""What --log-also can name, with its transport."""
STANDARD_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
"""Descriptors by the paths that name them. Opening a path would fail for a socket, and ignore the offset of a file."""

EXPECTED_RECORD = "expected a file, a FIFO, /dev/stdout or /dev/stderr"


def listen_address(text: str, forms: str = _LISTEN_FORMS) -> HostPort | SystemdSocket:
    """Parse an address, or ``systemd`` or ``systemd:NAME`` for sockets that the service manager passes in.

    `forms` names what the option accepts.
    """
    manager, colon, name = text.partition(":")
    if manager != "systemd":
        return host_and_port(text, forms)
    if colon and not (0 < len(name) <= _MAX_FD_NAME and name.isascii() and name.isprintable() and ":" not in name):
        raise ValueError(f"'{name}' is not a descriptor name; expected the FileDescriptorName= of a .socket unit")
    return SystemdSocket(name or None)


def host_and_port(text: str, forms: str = _ADDRESS_FORMS) -> HostPort:
    """Parse ``12345``, ``127.0.0.1:12345`` or ``[::1]:12345``.

    A port alone is on every IPv4 address, and so are ``:12345`` and ``*:12345``. `forms` names what the option accepts.
    """
    if "," in text:
        raise ValueError("this is a list; expected one address, and the option again for each other address")
    try:
        host, port = hostport.split_hostport(text, "ADDRESS:PORT")
        if port is None and _is_address(host):
            raise ValueError(f"the port is missing, as in {HostPort(str(host), hostport.DEFAULT_PORT)}")
        if port is None:
            raise ValueError(f"'{text}' is neither a port nor ADDRESS:PORT")
        number = hostport.parse_port(port)
        every_address = host is None or (host in {"", "*"} and not text.startswith("["))
        return HostPort("0.0.0.0" if every_address else _canonical_host(str(host), text), number)
    except ValueError as error:
        # some errors name the right form already
        expected = "" if "; expected " in str(error) or ", as in " in str(error) else f"; expected {forms}"
        raise ValueError(f"{error}{expected}") from None


def _is_address(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


def _canonical_host(host: str, text: str) -> str:
    """Return the canonical form of an address, by which ports recognize a wildcard address."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        if any(each.isalpha() for each in host) and ":" not in host:
            raise ValueError(f"'{host}' is a name, and names are not looked up") from None
        raise ValueError(f"'{host}' is not a numeric address") from None
    if isinstance(found, ipaddress.IPv4Address) == text.startswith("["):
        raise ValueError(f"'{host}' must be written {'without' if text.startswith('[') else 'with'} brackets")
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        raise ValueError(f"'{host}' is an IPv4 address; write it as {found.ipv4_mapped}")
    if isinstance(found, ipaddress.IPv6Address) and found.scope_id and not found.is_link_local:
        raise ValueError(f"'{host}': only a link-local address has an interface")
    return str(found)


def http_address(text: str) -> HostPort | SystemdSocket | str:
    """Parse an address, the path of a Unix socket (with a `/`), or ``systemd:NAME``. A port alone is on 127.0.0.1."""
    if "/" in text:
        return socket_path(text)
    if text.isascii() and text.isdigit():
        text = f"127.0.0.1:{text}"
    found = listen_address(text, _HTTP_FORMS)
    if found == SystemdSocket():
        raise ValueError("the name is missing; expected systemd:NAME, with the FileDescriptorName= of a .socket unit")
    return found


def behaving_address(text: str, others: Sequence[str] = ("off",)) -> BehavingAddress:
    """Parse ``ADDRESS=KIND[:PARAMETER=VALUE,...]`` or ``ADDRESS=off``. A port alone is on 127.0.0.1."""
    address, _equals, behavior = text.partition("=")
    if not behavior:
        raise ValueError(f"'{text}' names no behavior; expected ADDRESS=KIND[:PARAMETER=VALUE,...]")
    if address.isascii() and address.isdigit():
        address = f"127.0.0.1:{address}"
    found = host_and_port(address)
    if behavior != "off":
        return BehavingAddress(found, parse_behavior(behavior, others))
    if not found.port:
        raise ValueError("port 0 names no listener; expected the port of one")
    return BehavingAddress(found, None)


def behavior(text: str) -> BehavingAddress:
    """Parse a value of --behave, where no listener can be closed."""
    found = behaving_address(text, ())
    if found.behavior is None:
        raise ValueError("only echotime control behave closes a listener; expected ADDRESS=KIND")
    return found


def socket_path(text: str) -> str:
    """Return the absolute path of a Unix socket, which stays right when twistd changes its directory."""
    path = os.path.abspath(text)  # noqa: PTH100 - resolve() would follow links
    if not text or len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        raise ValueError(f"'{text}' is not a valid Unix socket path; expected 1 to {_MAX_SOCKET_PATH} bytes")
    _check_directory(path)
    return path


def output_file(text: str) -> str:
    """Return the absolute path of a file that the daemon replaces as a whole: a new one, or a regular file.

    Replacing /dev/stdout, a link or a directory would break others.
    """
    path = os.path.abspath(text)  # noqa: PTH100 - as above
    if not text:
        raise ValueError("the path is empty; expected the path of a file")
    _check_directory(path)
    try:
        is_regular = stat.S_ISREG(Path(path).lstat().st_mode)
    except OSError:  # most likely there is no such file; writing it reports any other reason
        return path
    if not is_regular:
        raise ValueError(f"'{path}' exists and is not a regular file; expected a new file, or one to replace")
    return path


def _check_directory(path: str) -> None:
    directory = Path(path).parent
    try:
        is_directory = directory.is_dir()
    except OSError as error:  # such as a parent directory that this user may not search
        raise ValueError(f"cannot find the directory '{directory}': {error.strerror}") from None
    if not is_directory:
        raise ValueError(f"there is no directory '{directory}'")


def record_path(text: str) -> str:
    """Return the path of --record. The daemon opens it, so that a reload needs no right to its directory."""
    if not text or "\0" in text or Path(text).name == "-":
        raise ValueError(EXPECTED_RECORD)
    return text


def record_fault(path: str) -> str:
    """Return what is wrong with a path of --record, as far as it is known without opening it. Empty if nothing is."""
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        directory = Path(path).parent
        return "" if directory.is_dir() else f"there is no directory '{directory}'"
    except OSError:  # opening it reports the reason
        return ""
    return (
        ""
        if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
        else f"it is not a file; {EXPECTED_RECORD}"
    )


def default_control_socket(environment: Mapping[str, str]) -> str | None:
    """Return the control socket of a daemon that systemd runs with RuntimeDirectory= (systemd.exec(5)), else None."""
    directory = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return f"{directory}/control" if directory and "INVOCATION_ID" in environment else None


def group_id(text: str) -> int:
    """Return the number of a group, given by name or number."""
    try:
        return int(text) if text.isascii() and text.isdigit() else grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError(f"there is no group '{text}'; expected a group's name or number") from None


def log_kind(text: str) -> str:
    """Return what --log-also names: one of LOG_KINDS."""
    if text not in LOG_KINDS:
        raise ValueError(f"'{text}' is not something to log; expected {' or '.join(LOG_KINDS)}")
    return text


def network(text: str) -> Network:
    """Parse ``192.0.2.0/24``, ``2001:db8::/32``, or one address."""
    expected = "expected a network, as in 192.0.2.0/24 or 2001:db8::/32, or an address"
    if "%" in text:
        raise ValueError(f"'{text}' has an interface, but access lists apply on every interface; {expected}")
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"'{text}' is not a network; {expected}") from None
    host, _slash, prefix = text.partition("/")
    if "." in prefix:
        # ip_network would guess whether it is a network mask or a wildcard mask
        raise ValueError(f"'{text}' has a mask in place of the prefix length; {expected}")
    address = ipaddress.ip_address(host)
    if address != found.network_address:
        raise ValueError(f"'{text}' has host bits set; {expected}, the nearest is {found}")
    if (
        isinstance(address, ipaddress.IPv6Address)
        and address.ipv4_mapped
        and found.prefixlen >= _V4MAPPED_PREFIX_LENGTH
    ):
        # such a network would contain no client, since an IPv4-mapped address is matched as the IPv4 address
        raise ValueError(
            f"'{text}' is an IPv4 network; write it as "
            f"{address.ipv4_mapped}/{found.prefixlen - _V4MAPPED_PREFIX_LENGTH}"
        )
    return found
