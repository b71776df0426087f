"""WholeDatagramPort, a UDP port that reads each datagram whole, with the TTL and TOS of its header.

It costs more for each datagram than TimePort, whose service needs the first bytes only.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from echotime.net.pktinfo import HEADER_OPTIONS, SourceAddress
from echotime.net.udp_port import SingleDatagramPort
from echotime.sockopt.apply import OptionError, apply_or_close
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.errno_name import errno_name
from echotime.wire.hostport import HostPort, format_hostport

_MAX_DATAGRAM = 65535


class WholeDatagramPort(SingleDatagramPort):
    """A UDP port for a protocol that needs the contents of datagrams, with the parameters of SingleDatagramPort."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, datagram_size=_MAX_DATAGRAM, **options)

    def startListening(self) -> None:
        super().startListening()
        for name in HEADER_OPTIONS[self.addressFamily]:
            option = BY_NAME[name]
            with suppress(OSError):  # TTL or TOS is unknown then
                self.socket.setsockopt(option.level_number, option.number, 1)

    def asked_address(self, addr: SourceAddress) -> str:
        """Return the address and port that a datagram was sent to, as HOST:PORT."""
        host, port = HostPort.from_sockaddr(addr.destination or self.socket.getsockname())
        return format_hostport(addr.reply_host or host, port)

    def write_from_other_port(self, datagram: bytes, addr: SourceAddress) -> None:
        """Send a reply from the address that the datagram was sent to, and from a port that the kernel chooses."""
        host, _port, *more = self.socket.getsockname()
        try:
            sock = socket.socket(self.addressFamily, socket.SOCK_DGRAM)
            with apply_or_close(sock, self._effective_options):
                sock.bind((host, 0, *more))
                sock.setblocking(False)
                sock.sendmsg([datagram], addr.ancillary, 0, addr)
        except (OSError, OptionError) as error:
            addr.reply_failed = True
            reason = errno_name(error) if isinstance(error, OSError) else str(error)
            self.errors[f"send from another port: {reason}"] += 1
