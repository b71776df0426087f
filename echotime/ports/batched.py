"""BatchedPort, the UDP port for Linux: recvmmsg takes many datagrams, and sendmmsg answers them all."""

from __future__ import annotations

import socket
from functools import partial

from echotime.ports import mmsg
from echotime.ports.mmsg import Batch
from echotime.ports.udp import TimePort
from echotime.sockopt.apply import Reading
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue import BY_NAME

_MANY = 16
"""So many answers at once are worth not being watched while they are sent, which takes two system calls."""


class BatchedPort(TimePort):
    """A TimePort for a protocol that provides IOneAnswer; where the calls are not to be had, it is as any TimePort."""

    turn = 256
    """The most datagrams that are served before everybody else gets a turn."""
    _batch: Batch | None = None
    _size = 1
    """Datagrams to take in the next call: it grows under load. Who asks alone is answered before the next is taken."""

    def startListening(self) -> None:
        """As the parent's; then see whether there are these calls."""
        super().startListening()
        self._own_port = socket.htons(self.getHost().port)
        if self._prepare():
            self.path = f"recvmmsg and sendmmsg, {self.batch} datagrams a call"

    def change(self, asked: Assignment) -> Reading:
        """As for every port; the address that was asked may be told from now on, or no more."""
        reading = super().change(asked)
        if self._batch is not None:
            self._prepare()
        return reading

    def _prepare(self) -> bool:
        if not mmsg.available():
            return False
        # on an IPv6 socket either: IP_PKTINFO tells of the IPv4 datagrams that it takes
        names = ["IP_PKTINFO", "IPV6_RECVPKTINFO"][: 2 if self.addressFamily == socket.AF_INET6 else 1]
        options = [BY_NAME[name] for name in names]
        told = any(self.socket.getsockopt(each.level_number, each.number) for each in options)
        batch = Batch(self.batch, self.addressFamily, asked_address=told)
        # without the filter each source port has to be looked at
        self._batch = batch if batch.works(self.fileno()) and (self.filtered or not self.lowest_port) else None
        return self._batch is not None

    def doRead(self) -> Exception | None:
        """Answer what is there, at most as many datagrams as a turn has."""
        if self._batch is None:
            return super().doRead()
        try:
            return self._take(self._batch)
        finally:
            if self.connected:
                self.startReading()

    def _take(self, batch: Batch) -> Exception | None:
        left = self.turn
        while left > 0:
            most = min(self._size, left)
            try:
                number = batch.receive(self.fileno(), most)
            except BlockingIOError:
                self._size = max(1, self._size // 2)
                return None if left < self.turn else self._why_nothing()
            except OSError as error:
                self._not_received(error)
                number = 1
            else:
                if number >= _MANY:
                    # each answer that leaves wakes whoever waits for room in the socket, be it our own reactor
                    self.stopReading()
                self._serve(batch, number)
                if number == most:
                    self._size = min(2 * number, batch.size)
                elif number >= _MANY:
                    break  # they are many, and all that were there
                else:
                    self._size = max(1, number)
            left -= max(1, number)
        return None

    def _serve(self, batch: Batch, number: int) -> None:
        try:
            answer = self.protocol.answer_to(number) if self._ordinary(batch, number) else None
        except Exception:
            self._log.failure("a datagram could not be handled")
            return
        if answer is not None:
            self._answer(batch, number, answer)
            return
        for datagram, sender in batch.datagrams(number):
            self._deliver(datagram, sender)

    def _ordinary(self, batch: Batch, number: int) -> bool:
        """Whether nothing has to be looked at in any of so many datagrams."""
        if self.protocol.all_apart:
            return False
        ports = batch.ports(number)
        apart = self.protocol.ports_apart
        if self._own_port in ports or (apart and not frozenset(map(socket.ntohs, ports)).isdisjoint(apart)):
            return False
        return batch.alike(number, self.protocol.apart) and self.protocol.room_for(number, partial(batch.hosts, number))

    def _answer(self, batch: Batch, number: int, answer: bytes) -> None:
        """Send; what cannot be sent is counted, and the rest goes on."""
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
