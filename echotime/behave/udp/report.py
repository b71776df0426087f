"""Report: answer with what is known of the datagram."""

from __future__ import annotations

import json

from echotime.behave.udp.behavior import UDPBehavior
from echotime.limits.datagrams import Sender
from echotime.wire.hostport import format_hostport

REPORT_START = b'{"peer": '
"""The beginning of each report."""


class Report(UDPBehavior):
    """Answer with a line of JSON: peer, server, ttl, tos and size. A datagram that is shorter gets the time instead."""

    name = "report"

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        facts = {
            "peer": format_hostport(sender.host, sender[1]),
            "server": self.listener.asked_address(sender),
            "ttl": sender.ttl,
            "tos": sender.tos,
            "size": sender.size,
        }
        line = json.dumps(facts).encode("ascii") + b"\n"
        # a forged source must not get more than was sent
        self.listener.send(line if len(line) <= len(datagram) else response, sender)
