"""UDPReport: answer with what is known of the datagram."""

from __future__ import annotations

from echotime.behave.udp.behavior import UDPBehavior
from echotime.limits.datagrams import Sender
from echotime.wire.hostport import format_hostport
from echotime.wire.json_line import format_json

REPORT_START = b'{"peer": '
"""The beginning of each report."""


class UDPReport(UDPBehavior):
    """Answer with one line of JSON that says how the datagram arrived.

    A datagram that is shorter than the line gets the time.
    """

    name = "report"

    def handle(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        facts = {
            "peer": format_hostport(sender.host, sender[1]),
            "server": self.listener.asked_address(sender),
            "ttl": sender.ttl,
            "tos": sender.tos,
            "size": sender.size,
        }
        line = format_json(facts).encode() + b"\n"
        # a forged source must not get more than was sent
        self.listener.send(line if len(line) <= len(datagram) else response, sender)
