"""Test operators/reply_queue.py: questions, and what settles them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer, provider

from echotime.operators.reply_queue import AlreadySettled, IOperator, PendingMessage, QueueLimits, ReplyQueue
from echotime.wire.template import Text
from tests.support.peer_address import peer


@implementer(IOperator)
class RecordingOperator:
    """Record questions and their settlement, and answer at once if a reply is ready."""

    def __init__(self, queue: ReplyQueue | None = None, ready: bytes | None = None) -> None:
        self.queue = queue
        self.ready = ready
        self.questions: list[PendingMessage] = []
        self.settled: list[tuple[int, str]] = []

    def on_question(self, question: PendingMessage) -> None:
        self.questions.append(question)
        if self.queue is not None and self.ready is not None:
            self.queue.answer(question.number, self.ready, "a machine")

    def on_settled(self, question: PendingMessage, how: str) -> None:
        self.settled.append((question.number, how))


class ReplyQueueTests(SynchronousTestCase):
    """Queue questions, and settle them in every way."""

    def setUp(self) -> None:
        """Make a queue with an operator."""
        self.clock = Clock()
        self.operator = RecordingOperator()
        self.queue = self.queue_with()

    def queue_with(self, **limits: Any) -> ReplyQueue:
        """Make a queue with the fallback `no` and these limits."""
        queue = ReplyQueue(self.clock, b"no", QueueLimits(**limits))
        queue.attach(self.operator)
        return queue

    def ask(self, queue: ReplyQueue, **who: Any) -> Deferred[Text]:
        """Add a question, which must stay pending."""
        reply = queue.reply_to(b"hello", peer(**who))
        assert isinstance(reply, Deferred)
        return reply

    def test_answers_are_logged(self) -> None:
        """An answer is logged with its operator, escaped, within the limit and while that is switched on."""
        lines: list[str] = []
        note = provider(ILogObserver)(lambda event: lines.append(formatEvent(event)))
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        for number, (rate, on) in enumerate([(0, True), (2, False), (2, True), (2, True), (2, True)], 1):
            self.queue.set_log_rate(rate)
            self.queue.log_answers = on
            self.ask(self.queue, port=number)
            self.queue.answer(number, b"\x1b\n" + bytes([48 + number]), "me")
        self.queue.stop()
        self.assertEqual(
            lines,
            [
                *(rf"question {number} of 192.0.2.1:{number} answered by me: \x1b\n{number}" for number in (3, 4)),
                "answer lines left out in the last second: 1",
            ],
        )

    def test_answered(self) -> None:
        """A reply goes to its question, in any order, and all operators are notified."""
        replies = [self.ask(self.queue, port=port) for port in (1, 2)]
        self.assertEqual([each.peer for each in self.operator.questions], ["192.0.2.1:1", "192.0.2.1:2"])
        self.assertEqual(self.queue.answer(2, b"two", "me").message, b"hello")
        self.assertNoResult(replies[0])
        self.assertEqual(self.successResultOf(replies[1]), b"two")
        self.queue.answer(1, b"", "me")
        self.assertEqual(self.successResultOf(replies[0]), b"", "an empty reply is a reply")
        self.assertEqual(self.operator.settled, [(2, "answered by me"), (1, "answered by me")])
        self.assertEqual((self.queue.counters.queued, self.queue.counters.answered), (2, 2))

    def test_first_answer_wins(self) -> None:
        """The first answer wins, and a later one is refused with the name of the first operator."""
        reply = self.ask(self.queue)
        self.queue.answer(1, b"one", "root at the terminal")
        with self.assertRaisesRegex(AlreadySettled, "answered by root at the terminal"):
            self.queue.answer(1, b"two", "me")
        self.assertEqual(self.successResultOf(reply), b"one")
        with self.assertRaisesRegex(AlreadySettled, "^there is no such question$"):
            self.queue.answer(7, b"x", "me")

    def test_deadline(self) -> None:
        """A question past its deadline gets the fallback, and no timer is left."""
        queue = self.queue_with(deadline=30)
        replies = [self.ask(queue, port=port) for port in (1, 2, 3)]
        self.clock.advance(29)
        queue.answer(1, b"in time", "me")
        self.assertNoResult(replies[1])
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(replies[1]), b"no")
        self.assertEqual(queue.counters.expired, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIn((2, "deadline expired"), self.operator.settled)

    def test_connection_ends(self) -> None:
        """A connection that ends withdraws its question."""
        reply = self.ask(self.queue_with(deadline=30))
        reply.cancel()
        self.failureResultOf(reply, CancelledError)
        self.assertEqual(self.operator.settled, [(1, "connection ended")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_limits(self) -> None:
        """Beyond the limits the fallback comes at once and is counted; a settled question frees its place."""
        queue = self.queue_with(max_pending=3, max_per_source=2)
        first = self.ask(queue)
        self.ask(queue)
        self.assertEqual(queue.reply_to(b"x", peer()), b"no", "two of one source")
        self.ask(queue, host="192.0.2.2")
        self.assertEqual(queue.reply_to(b"x", peer(host="192.0.2.3")), b"no", "three in all")
        self.assertEqual(queue.counters.beyond_limit, 2)
        queue.answer(1, b"", "me")
        self.successResultOf(first)
        self.ask(queue)

    def test_limit_counts_networks(self) -> None:
        """The limit per source counts by source: a /64 of IPv6 is one, and an IPv4-mapped address is the IPv4 one."""
        queue = self.queue_with(max_per_source=2)
        for host in ("2001:db8::1", "2001:db8::2", "192.0.2.1", "::ffff:192.0.2.1"):
            self.ask(queue, host=host)
        self.assertEqual(queue.reply_to(b"x", peer(host="2001:db8::3")), b"no")
        self.assertEqual(queue.reply_to(b"x", peer(host="192.0.2.1")), b"no")

    def test_nobody_there(self) -> None:
        """Without an operator the fallback comes at once, unless questions wait for one."""
        self.queue.detach(self.operator)
        for count in (1, 2):
            self.assertEqual(self.queue.reply_to(b"x", peer()), b"no")
            self.assertEqual(self.queue.counters.unattended, count)
        waiting = ReplyQueue(self.clock, b"no", QueueLimits(wait_for_operator=True))
        reply = self.ask(waiting)
        late = RecordingOperator()
        waiting.attach(late)
        self.assertEqual([each.number for each in late.questions], [1], "a later operator gets the question")
        waiting.detach(late)
        self.assertNoResult(reply)

    def test_last_operator_leaves(self) -> None:
        """Pending questions get the fallback when the last operator leaves, and not before."""
        replies = [self.ask(self.queue) for _ in range(2)]
        second = RecordingOperator()
        self.queue.attach(second)
        self.queue.detach(self.operator)
        self.assertNoResult(replies[0])
        self.queue.detach(second)
        self.assertEqual([self.successResultOf(each) for each in replies], [b"no"] * 2)
        self.assertEqual(self.queue.counters.given_up, 2)
        self.queue.detach(second)

    def test_other_deadline(self) -> None:
        """A changed deadline applies to pending questions, counted from their arrival."""
        reply = self.ask(self.queue)
        self.clock.advance(20)
        self.queue.configure(b"later", QueueLimits(deadline=30))
        self.clock.advance(9)
        self.queue.configure(b"latest", QueueLimits(deadline=30, max_pending=7))
        self.assertNoResult(reply)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(reply), b"latest")
        reply = self.ask(self.queue)
        self.queue.configure(b"", QueueLimits())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(40)
        self.queue.configure(b"", QueueLimits(deadline=30))
        self.assertNoResult(reply)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(reply), b"")

    def test_no_longer_waiting(self) -> None:
        """Questions that wait for an operator get the fallback when they are to wait no longer."""
        queue = ReplyQueue(self.clock, b"no", QueueLimits(wait_for_operator=True))
        reply = self.ask(queue)
        queue.configure(b"none", QueueLimits(wait_for_operator=True, max_pending=7))
        self.assertNoResult(reply)
        queue.configure(b"none", QueueLimits())
        self.assertEqual(self.successResultOf(reply), b"none")
        self.assertEqual(queue.counters.given_up, 1)

    def test_stop(self) -> None:
        """At the daemon's stop pending questions get the fallback, and later ones at once."""
        reply = self.ask(self.queue)
        self.queue.stop()
        self.assertEqual(self.successResultOf(reply), b"no")
        for count in (1, 2):
            self.assertEqual(self.queue.reply_to(b"x", peer()), b"no")
            self.assertEqual(self.queue.counters.stopped, count)
        self.assertEqual(self.operator.settled, [(1, "the daemon stopped")])

    def test_answered_while_asked(self) -> None:
        """An operator with a ready reply settles a question before the next operator sees it."""
        queue = ReplyQueue(self.clock)
        queue.attach(RecordingOperator(queue, b"ready"))
        queue.attach(self.operator)
        self.assertEqual(self.successResultOf(self.ask(queue)), b"ready")
        self.assertEqual(self.operator.questions, [])

    def test_operator_that_fails(self) -> None:
        """An operator that raises is detached, and others are unaffected."""

        class Broken(RecordingOperator):
            def on_question(self, question: PendingMessage) -> None:
                raise ValueError("cannot show it")

        queue = ReplyQueue(self.clock, b"no")
        broken = Broken()
        queue.attach(broken)
        self.assertEqual(self.successResultOf(self.ask(queue)), b"no")
        self.assertEqual(queue.operator_count, 0)
        queue.attach(self.operator)
        queue.attach(broken)
        reply = self.ask(queue)
        self.assertEqual(queue.operator_count, 1)
        queue.answer(2, b"ok", "me")
        self.assertEqual(self.successResultOf(reply), b"ok")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_remembers_so_many(self) -> None:
        """Outcomes of old questions are forgotten, so that memory is bounded."""
        for _ in range(1200):
            self.ask(self.queue)
            self.queue.answer(self.operator.questions[-1].number, b"", "me")
        self.assertEqual(len(self.queue._outcomes), 1000)
        self.assertEqual(self.queue._sources, {})
