"""TimePort, a UDP port that receives with recvmmsg(2) and replies with sendmmsg(2), many datagrams a call.

Where these calls are missing or forbidden, the port works one datagram a call, as SingleDatagramPort does. `io_method`
describes the choice, which startListening makes.
"""

from __future__ import annotations

import socket

from zope.interface import Attribute, Interface

from echotime.net.udp_port import SingleDatagramPort
from echotime.sockopt.apply import ReadBack
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import BY_NAME

try:
    from echotime.net import mmsg
except (ImportError, OSError):  # this Python has no ctypes, or its C library is linked statically
    _HAS_MMSG = False
else:
    _HAS_MMSG = mmsg.is_available()
_MIN_PAUSED_BATCH = 16
"""Smallest batch for which leaving epoll while sending pays for its two system calls.

Each datagram that is sent wakes all that wait for space in the send buffer, our own epoll included.
"""
_MIN_BATCH = 2
"""Datagrams requested when few arrive. A lone client sends one at a time, so a full call means more are pending."""


class IDatagramPolicy(Interface):
    """Decides which datagrams are answered."""

    one_by_one = Attribute("True (bool) if each datagram has to be passed to datagramReceived.")

    def set_min_source_port(min_source_port: int) -> None:
        """Refuse datagrams from lower ports from now on; 0 if the kernel drops all of them."""


class IBatchResponder(Interface):
    """A datagram protocol whose response depends on the time alone, so that a port can send it to many at once."""

    policy = Attribute("The IDatagramPolicy that the protocol applies.")

    def batch_response(batch: mmsg.Batch) -> bytes | None:
        """Return the response to all datagrams of a batch with `ordinary_addresses`; they count as answered then.

        None if each datagram has to be passed to datagramReceived, cut to mmsg.SNAPLEN bytes.
        """

    def probe_received(source: tuple[object, ...]) -> None:
        """Reply to the health check's probe."""


class TimePort(SingleDatagramPort):
    """A UDP port for a protocol that provides IBatchResponder. The parameters are those of SingleDatagramPort."""

    max_per_call = 256
    """Datagrams that one doRead serves before it returns to the reactor."""
    _batch: mmsg.Batch | None = None
    _reading_paused = False
    """True while doRead has stopped reading for as long as it sends."""
    _next_batch_size = _MIN_BATCH
    """Datagrams to request in the next recvmmsg(2). It grows under load; a lone client is answered at once."""

    def startListening(self) -> None:
        super().startListening()
        self._own_port = socket.htons(self.getHost().port)
        if self._prepare():
            self.io_method = f"recvmmsg and sendmmsg, {self.batch_size} datagrams a call"

    def set_option(self, assignment: Assignment) -> ReadBack:
        reading = super().set_option(assignment)
        if self._batch is not None:
            self._prepare()  # IP_PKTINFO may have been switched
        return reading

    def _prepare(self) -> bool:
        if not _HAS_MMSG:
            return False
        # IP_PKTINFO also on an IPv6 socket, for the IPv4 datagrams that it receives
        names = ["IP_PKTINFO", "IPV6_RECVPKTINFO"][: 2 if self.addressFamily == socket.AF_INET6 else 1]
        options = [BY_NAME[name] for name in names]
        pktinfo = any(self.socket.getsockopt(each.level_number, each.number) for each in options)
        batch = mmsg.Batch(self.batch_size, self.addressFamily, pktinfo=pktinfo)
        self._batch = batch if batch.is_supported(self.fileno()) else None
        return self._batch is not None

    def doRead(self) -> Exception | None:
        """Serve pending datagrams, at most `max_per_call`. Return an exception if the socket was shut down."""
        if self._batch is None:
            return super().doRead()
        self._error_budget = self.batch_size
        try:
            return self._receive(self._batch)
        finally:
            if self._reading_paused and self.connected:
                self._reading_paused = False
                self.startReading()

    def _receive(self, batch: mmsg.Batch) -> Exception | None:
        remaining = self.max_per_call
        while remaining > 0:
            max_count = min(self._next_batch_size, remaining)
            try:
                count = batch.receive(self.fileno(), max_count)
            except OSError as error:
                self._handle_receive_error(error)
                remaining -= 1
                continue
            if not count:
                return None if remaining < self.max_per_call else self._check_shut_down()
            if count >= _MIN_PAUSED_BATCH and not self._reading_paused:
                self._reading_paused = True
                self.stopReading()
            self._serve(batch)
            remaining -= count
            if count < max_count:  # the receive queue is empty
                self._next_batch_size = max(_MIN_BATCH, count)
                break
            self._next_batch_size = min(2 * count, batch.size)
        return None

    def _serve(self, batch: mmsg.Batch) -> None:
        try:
            one_by_one = self.protocol.policy.one_by_one or self._destination_levels
            if not one_by_one and batch.check_addresses(self._own_port):
                response = self.protocol.batch_response(batch)
            else:
                response = None
        except Exception:
            self._log.failure("a datagram could not be handled")
            return
        if response is not None:
            self._send_responses(batch, response)
            return
        for datagram, source in batch.datagrams():
            self._deliver(datagram, source)

    def _send_responses(self, batch: mmsg.Batch, response: bytes) -> None:
        """Send a response to each datagram. Count what cannot be sent, and continue with the next."""
        sent, retried_at = 0, -1
        while sent < batch.count:
            try:
                sent += batch.send(self.fileno(), sent, response)
            except OSError as error:
                # the error may belong to an earlier response, while this one has not been tried yet
                if sent != retried_at and self._empty_error_queue():
                    retried_at = sent
                else:
                    self._count("send", error)
                    sent += 1
