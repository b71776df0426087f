"""TimePort, the UDP port: recvmmsg(2) takes many datagrams in a call, and sendmmsg(2) answers them all.

Where these calls are missing or forbidden it works datagram by datagram, as SingleDatagramPort does; this is decided
when it starts to listen, and `io_method` says which.
"""

from __future__ import annotations

import socket
from functools import partial

from echotime.ports import mmsg
from echotime.ports.udp_single import SingleDatagramPort
from echotime.sockopt.apply import Reading
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue import BY_NAME

_UNWATCHED_BATCH = 16
"""Smallest batch for which leaving epoll while sending pays for its two system calls.

Each datagram that leaves wakes whoever waits for space in the send buffer, our own epoll included.
"""
_SMALLEST_BATCH = 2
"""Datagrams to ask for when few come: one more than a lone client sends, so that its arrival alone says it is alone."""


class TimePort(SingleDatagramPort):
    """A UDP port for a protocol that provides IOneAnswer; see SingleDatagramPort for its parameters."""

    max_per_call = 256
    """Datagrams one doRead serves before the reactor serves others."""
    _batch: mmsg.Batch | None = None
    _unwatched = False
    """True while doRead has stopped reading for as long as it sends."""
    _size = _SMALLEST_BATCH
    """Datagrams to ask for in the next recvmmsg(2). It grows under load: a lone client is answered at once."""

    def startListening(self) -> None:
        """Listen, and find out whether the system has both calls. Raises as the parent does."""
        super().startListening()
        self._own_port = socket.htons(self.getHost().port)
        if self._prepare():
            self.io_method = f"recvmmsg and sendmmsg, {self.batch} datagrams a call"

    def change(self, asked: Assignment) -> Reading:
        """Set an option on the live socket. Raises OptionFailed. IP_PKTINFO may be on or off from now on."""
        reading = super().change(asked)
        if self._batch is not None:
            self._prepare()
        return reading

    def _prepare(self) -> bool:
        if not mmsg.available():
            return False
        # IP_PKTINFO on an IPv6 socket, too: it tells of the IPv4 datagrams that the socket takes
        names = ["IP_PKTINFO", "IPV6_RECVPKTINFO"][: 2 if self.addressFamily == socket.AF_INET6 else 1]
        options = [BY_NAME[name] for name in names]
        pktinfo = any(self.socket.getsockopt(each.level_number, each.number) for each in options)
        batch = mmsg.Batch(self.batch, self.addressFamily, asked_address=pktinfo)
        # without the filter each source port has to be looked at
        self._batch = batch if batch.works(self.fileno()) and (self.filtered or not self.lowest_port) else None
        return self._batch is not None

    def doRead(self) -> Exception | None:
        """Answer what waits, at most `max_per_call` datagrams."""
        if self._batch is None:
            return super().doRead()
        try:
            return self._receive(self._batch)
        finally:
            if self._unwatched and self.connected:
                self._unwatched = False
                self.startReading()

    def _receive(self, batch: mmsg.Batch) -> Exception | None:
        left = self.max_per_call
        while left > 0:
            most = min(self._size, left)
            try:
                number = batch.receive(self.fileno(), most)
            except OSError as error:
                self._not_received(error)
                left -= 1
                continue
            if not number:
                return None if left < self.max_per_call else self._why_nothing()
            if number >= _UNWATCHED_BATCH and not self._unwatched:
                self._unwatched = True
                self.stopReading()
            self._serve(batch, number)
            left -= number
            if number < most:  # nothing waits any more
                self._size = max(_SMALLEST_BATCH, number)
                break
            self._size = min(2 * number, batch.size)
        return None

    def _serve(self, batch: mmsg.Batch, number: int) -> None:
        try:
            answer = self.protocol.answer_to(number) if self._can_batch(batch, number) else None
        except Exception:
            self._log.failure("a datagram could not be handled")
            return
        if answer is not None:
            self._answer(batch, number, answer)
            return
        for datagram, sender in batch.datagrams(number):
            self._deliver(datagram, sender)

    def _can_batch(self, batch: mmsg.Batch, number: int) -> bool:
        """Return True if none of the datagrams needs a look of its own."""
        if self.protocol.all_apart:
            return False
        ports = batch.ports(number)
        apart = self.protocol.ports_apart
        if self._own_port in ports or (apart and not frozenset(map(socket.ntohs, ports)).isdisjoint(apart)):
            return False
        return batch.alike(number, self.protocol.apart) and self.protocol.room_for(number, partial(batch.hosts, number))

    def _answer(self, batch: mmsg.Batch, number: int, answer: bytes) -> None:
        """Send the answers; count what cannot be sent, and go on with the rest."""
        done, tried = 0, -1
        while done < number:
            try:
                done += batch.send(self.fileno(), done, number - done, answer)
            except OSError as error:
                # the error may be about an earlier answer, and this one has not been tried yet
                if done != tried and self._empty_error_queue():
                    tried = done
                else:
                    self._count("send", error)
                    done += 1
