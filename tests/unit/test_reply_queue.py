"""desk/: questions and what settles them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echotime.operators.reply_queue import AlreadySettled, IOperator, PendingMessage, QueueLimits, ReplyQueue
from tests.support.peer_address import peer


@implementer(IOperator)
class Present:
    """An operator who notes what is said, and may have an answer ready."""

    def __init__(self, desk: ReplyQueue | None = None, ready: bytes | None = None) -> None:
        self.desk = desk
        self.ready = ready
        self.questions: list[PendingMessage] = []
        self.told: list[tuple[int, str]] = []

    def on_question(self, question: PendingMessage) -> None:
        """Note it."""
        self.questions.append(question)
        if self.desk is not None and self.ready is not None:
            self.desk.answer(question.number, self.ready, "a machine")

    def on_settled(self, question: PendingMessage, how: str) -> None:
        """Note it."""
        self.told.append((question.number, how))


class ReplyQueueTests(SynchronousTestCase):
    """ReplyQueue."""

    def setUp(self) -> None:
        """A desk with an operator."""
        self.clock = Clock()
        self.operator = Present()
        self.desk = self.desk_with()

    def desk_with(self, **limits: Any) -> ReplyQueue:
        """One with the fallback `no` and these limits."""
        desk = ReplyQueue(self.clock, b"no", QueueLimits(**limits))
        desk.attach(self.operator)
        return desk

    def ask(self, desk: ReplyQueue, **who: Any) -> Deferred[bytes]:
        """A question that waits."""
        word = desk.reply_to(b"hello", peer(**who))
        assert isinstance(word, Deferred)
        return word

    def test_answered(self) -> None:
        """The word goes to the question it is for, in any order, and everybody there is told."""
        words = [self.ask(self.desk, port=port) for port in (1, 2)]
        self.assertEqual([each.peer for each in self.operator.questions], ["192.0.2.1:1", "192.0.2.1:2"])
        self.assertEqual(self.desk.answer(2, b"two", "me").message, b"hello")
        self.assertNoResult(words[0])
        self.assertEqual(self.successResultOf(words[1]), b"two")
        self.desk.answer(1, b"", "me")
        self.assertEqual(self.successResultOf(words[0]), b"", "an empty word is a word")
        self.assertEqual(self.operator.told, [(2, "answered by me"), (1, "answered by me")])
        self.assertEqual((self.desk.counters.asked, self.desk.counters.answered), (2, 2))

    def test_first_answer_wins(self) -> None:
        """Whoever is later is told who was faster, and the word is not given twice."""
        word = self.ask(self.desk)
        self.desk.answer(1, b"one", "root at the terminal")
        with self.assertRaisesRegex(AlreadySettled, "answered by root at the terminal"):
            self.desk.answer(1, b"two", "me")
        self.assertEqual(self.successResultOf(word), b"one")
        with self.assertRaisesRegex(AlreadySettled, "no such question"):
            self.desk.answer(7, b"x", "me")

    def test_deadline(self) -> None:
        """After it the fallback is the word, and nothing is left in the reactor; an answer in time stops the clock."""
        desk = self.desk_with(deadline=30)
        words = [self.ask(desk, port=port) for port in (1, 2)]
        self.clock.advance(29)
        desk.answer(1, b"in time", "me")
        self.assertNoResult(words[1])
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(words[1]), b"no")
        self.assertEqual(desk.counters.expired, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIn((2, "deadline expired"), self.operator.told)

    def test_connection_ends(self) -> None:
        """A connection that ends takes its question with it."""
        word = self.ask(self.desk_with(deadline=30))
        word.cancel()
        self.failureResultOf(word, CancelledError)
        self.assertEqual(self.operator.told, [(1, "connection ended")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_limits(self) -> None:
        """Beyond the limits the fallback comes at once and is counted; a settled question makes room."""
        desk = self.desk_with(max_pending=3, max_per_source=2)
        first = self.ask(desk)
        self.ask(desk)
        self.assertEqual(desk.reply_to(b"x", peer()), b"no", "two of one source")
        self.ask(desk, host="192.0.2.2")
        self.assertEqual(desk.reply_to(b"x", peer(host="192.0.2.3")), b"no", "three in all")
        self.assertEqual(desk.counters.beyond_limit, 2)
        desk.answer(1, b"", "me")
        self.successResultOf(first)
        self.ask(desk)

    def test_nobody_there(self) -> None:
        """Without an operator the fallback comes at once, unless questions are to wait."""
        self.desk.detach(self.operator)
        self.assertEqual(self.desk.reply_to(b"x", peer()), b"no")
        self.assertEqual(self.desk.counters.unattended, 1)
        waiting = ReplyQueue(self.clock, b"no", QueueLimits(wait_for_operator=True))
        word = self.ask(waiting)
        late = Present()
        waiting.attach(late)
        self.assertEqual([each.number for each in late.questions], [1], "who comes later is asked, too")
        waiting.detach(late)
        self.assertNoResult(word)

    def test_last_operator_leaves(self) -> None:
        """What waits gets the fallback with the last of them, and not before."""
        word = self.ask(self.desk)
        second = Present()
        self.desk.attach(second)
        self.desk.detach(self.operator)
        self.assertNoResult(word)
        self.desk.detach(second)
        self.assertEqual(self.successResultOf(word), b"no")
        self.assertEqual(self.desk.counters.given_up, 1)
        self.desk.detach(second)

    def test_stop(self) -> None:
        """At the daemon's stop what waits gets the fallback, and what comes after it at once."""
        word = self.ask(self.desk)
        self.desk.stop()
        self.assertEqual(self.successResultOf(word), b"no")
        self.assertEqual(self.desk.reply_to(b"x", peer()), b"no")
        self.assertEqual(self.operator.told, [(1, "the daemon stopped")])
        self.assertEqual(self.desk.counters.stopped, 1)

    def test_answered_while_asked(self) -> None:
        """An operator that has its answer ready settles it before anybody else is bothered."""
        desk = ReplyQueue(self.clock)
        desk.attach(Present(desk, b"ready"))
        desk.attach(self.operator)
        self.assertEqual(self.successResultOf(self.ask(desk)), b"ready")
        self.assertEqual(self.operator.questions, [])

    def test_operator_that_fails(self) -> None:
        """An operator that raises is taken for gone; nobody else suffers for it."""

        class Broken(Present):
            def on_question(self, question: PendingMessage) -> None:
                raise ValueError("cannot show it")

        desk = ReplyQueue(self.clock, b"no")
        broken = Broken()
        desk.attach(broken)
        self.assertEqual(self.successResultOf(self.ask(desk)), b"no")
        self.assertEqual(desk.operator_count, 0)
        desk.attach(self.operator)
        desk.attach(broken)
        word = self.ask(desk)
        self.assertEqual(desk.operator_count, 1)
        desk.answer(2, b"ok", "me")
        self.assertEqual(self.successResultOf(word), b"ok")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_remembers_so_many(self) -> None:
        """What became of old questions is forgotten: memory is bounded."""
        for _ in range(1200):
            self.ask(self.desk)
            self.desk.answer(self.operator.questions[-1].number, b"", "me")
        self.assertEqual(len(self.desk._outcomes), 1000)
        self.assertEqual(self.desk._sources, {})
