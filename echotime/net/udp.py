"""TimePort, the UDP port: recvmmsg(2) takes many datagrams in a call, and sendmmsg(2) answers them all.

Where these calls are missing or forbidden it works datagram by datagram, as SingleDatagramPort does; this is decided
when it starts to listen, and `io_method` says which.
"""

from __future__ import annotations

import socket
from functools import partial

from echotime.net import mmsg
from echotime.net.udp_port import SingleDatagramPort
from echotime.sockopt.apply import ReadBack
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import BY_NAME

_MIN_PAUSED_BATCH = 16
"""Smallest batch for which leaving epoll while sending pays for its two system calls.

Each datagram that leaves wakes whoever waits for space in the send buffer, our own epoll included.
"""
_MIN_BATCH = 2
"""Datagrams to ask for when few come: one more than a lone client sends, so that its arrival alone says it is alone."""


class TimePort(SingleDatagramPort):
    """A UDP port for a protocol that provides IBatchResponder; see SingleDatagramPort for its parameters."""

    max_per_call = 256
    """Datagrams one doRead serves before the reactor serves others."""
    _batch: mmsg.Batch | None = None
    _reading_paused = False
    """True while doRead has stopped reading for as long as it sends."""
    _next_batch_size = _MIN_BATCH
    """Datagrams to ask for in the next recvmmsg(2). It grows under load: a lone client is answered at once."""

    def startListening(self) -> None:
        """Listen, and find out whether the system has both calls. Raises as the parent does."""
        super().startListening()
        self._own_port = socket.htons(self.getHost().port)
        if self._prepare():
            self.io_method = f"recvmmsg and sendmmsg, {self.batch_size} datagrams a call"

    def set_option(self, assignment: Assignment) -> ReadBack:
        """Set an option on the live socket. Raises OptionError. IP_PKTINFO may be on or off from now on."""
        reading = super().set_option(assignment)
        if self._batch is not None:
            self._prepare()
        return reading

    def _prepare(self) -> bool:
        if not mmsg.is_available():
            return False
        # IP_PKTINFO on an IPv6 socket, too: it tells of the IPv4 datagrams that the socket takes
        names = ["IP_PKTINFO", "IPV6_RECVPKTINFO"][: 2 if self.addressFamily == socket.AF_INET6 else 1]
        options = [BY_NAME[name] for name in names]
        pktinfo = any(self.socket.getsockopt(each.level_number, each.number) for each in options)
        batch = mmsg.Batch(self.batch_size, self.addressFamily, pktinfo=pktinfo)
        # without the filter each source port has to be looked at
        self._batch = (
            batch if batch.is_supported(self.fileno()) and (self.kernel_filtered or not self.min_source_port) else None
        )
        return self._batch is not None

    def doRead(self) -> Exception | None:
        """Answer what waits, at most `max_per_call` datagrams."""
        if self._batch is None:
            return super().doRead()
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
            self._serve(batch, count)
            remaining -= count
            if count < max_count:  # nothing waits any more
                self._next_batch_size = max(_MIN_BATCH, count)
                break
            self._next_batch_size = min(2 * count, batch.size)
        return None

    def _serve(self, batch: mmsg.Batch, count: int) -> None:
        try:
            response = self.protocol.batch_response(count) if self._can_batch(batch, count) else None
        except Exception:
            self._log.failure("a datagram could not be handled")
            return
        if response is not None:
            self._send_responses(batch, count, response)
            return
        for datagram, source in batch.datagrams(count):
            self._deliver(datagram, source)

    def _can_batch(self, batch: mmsg.Batch, count: int) -> bool:
        """Return True if none of the datagrams needs a look of its own."""
        if self.protocol.per_datagram_only:
            return False
        ports = batch.ports(count)
        excluded_ports = self.protocol.per_datagram_ports
        if self._own_port in ports or (
            excluded_ports and not frozenset(map(socket.ntohs, ports)).isdisjoint(excluded_ports)
        ):
            return False
        return batch.is_uniform(count, self.protocol.per_datagram_lengths) and self.protocol.allow_batch(
            count, partial(batch.hosts, count)
        )

    def _send_responses(self, batch: mmsg.Batch, count: int, response: bytes) -> None:
        """Send the answers; count what cannot be sent, and go on with the rest."""
        sent, retried_at = 0, -1
        while sent < count:
            try:
                sent += batch.send(self.fileno(), sent, count - sent, response)
            except OSError as error:
                # the error may be about an earlier answer, and this one has not been tried yet
                if sent != retried_at and self._empty_error_queue():
                    retried_at = sent
                else:
                    self._count("send", error)
                    sent += 1
