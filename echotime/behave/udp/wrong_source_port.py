"""WrongSourcePort: answer from another port than the one that was asked."""

from __future__ import annotations

from echotime.behave.udp.behavior import Fault
from echotime.limits.datagrams import Sender


class WrongSourcePort(Fault):
    """Send each answer from the right address, but from another port, as a faulty NAT does."""

    name = "wrong_source_port"

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        self.listener.send_from_other_port(response, sender)
