"""The inbox against a plain model: whatever Kafka does, an event takes effect once, in order.

The model is a list per source. The machine sends events, delivers any of them any number of times
and in any order, and at last uses a sequence twice, as a restored database would.
"""

from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.clock import Clock
from services.ids import new_id
from services.messaging.inbox import Head, Verdict, judge
from services.messaging.kafka import Envelope, Incoming
from services.messaging.parking import _whose_turn

SOURCES = ("/intake", "/routing")


def _record(case_id: UUID, source: str, sequence: int, event_id: UUID) -> Incoming:
    now = Clock().now()
    record = Incoming("cases", 0, 0, str(case_id), [], b"{}")
    record._envelope = Envelope(event_id, source, "t", case_id, sequence, 1, now, now)
    return record


class Consumer:
    """One case at one consumer, by the rules of the inbox and of parking alone."""

    def __init__(self) -> None:
        self.heads: dict[tuple[str, UUID], Head] = {}
        self.queue: list[tuple[int, Incoming]] = []
        self.done: dict[str, list[UUID]] = {source: [] for source in SOURCES}
        self.forked = False

    def take(self, record: Incoming) -> None:
        """What the consumer does with a record; a parked case queues behind."""
        envelope = record.envelope()
        verdict = self._judge(record)
        if verdict is Verdict.DUPLICATE:
            return
        if verdict is Verdict.NEXT and not self.queue and not self.forked:
            self._apply(envelope)
        else:
            self.forked |= verdict is Verdict.FORK
            self.queue.append((len(self.queue), record))
        self.replay()

    def replay(self) -> None:
        """Do what waits, as far as its turn has come."""
        while self.queue and not self.forked:
            turn = _whose_turn(self.heads, self.queue)
            if turn is None:
                return
            _, record = self.queue[turn]
            verdict = self._judge(record)
            if verdict is Verdict.FORK:
                self.forked = True
                return
            del self.queue[turn]
            if verdict is Verdict.NEXT:
                self._apply(record.envelope())

    def _judge(self, record: Incoming) -> Verdict:
        envelope = record.envelope()
        head = self.heads.get((envelope.source, envelope.case_id))
        return judge(head, envelope.sequence, envelope.event_id)

    def _apply(self, envelope: Envelope) -> None:
        self.done[envelope.source].append(envelope.event_id)
        head = Head(envelope.sequence, envelope.event_id)
        self.heads[envelope.source, envelope.case_id] = head


class Inbox(RuleBasedStateMachine):
    """Sends, delivers, repeats, and at last delivers everything."""

    @initialize()
    def begin(self) -> None:
        self.case_id = new_id()
        self.sent: dict[str, list[UUID]] = {source: [] for source in SOURCES}
        self.consumer = Consumer()

    @rule(source=st.sampled_from(SOURCES), count=st.integers(1, 4))
    def send(self, source: str, count: int) -> None:
        self.sent[source] += [new_id() for _ in range(count)]

    @rule(data=st.data())
    def deliver_any(self, data: st.DataObject) -> None:
        places = [(s, n) for s in SOURCES for n in range(1, len(self.sent[s]) + 1)]
        if places:
            source, sequence = data.draw(st.sampled_from(places))
            self._deliver(source, sequence)

    @rule(source=st.sampled_from(SOURCES))
    def deliver_all_again(self, source: str) -> None:
        for sequence in range(1, len(self.sent[source]) + 1):
            self._deliver(source, sequence)

    def _deliver(self, source: str, sequence: int) -> None:
        event_id = self.sent[source][sequence - 1]
        self.consumer.take(_record(self.case_id, source, sequence, event_id))

    @invariant()
    def each_once_and_in_order(self) -> None:
        for source, done in getattr(self, "consumer", Consumer()).done.items():
            assert done == self.sent[source][: len(done)]

    def teardown(self) -> None:
        if not hasattr(self, "consumer"):
            return
        for source in SOURCES:
            for sequence in reversed(range(1, len(self.sent[source]) + 1)):
                self._deliver(source, sequence)
        assert self.consumer.done == self.sent
        assert self.consumer.queue == []
        for source, sent in self.sent.items():
            if sent:
                self.consumer.take(_record(self.case_id, source, len(sent), new_id()))
                assert self.consumer.forked, "a used sequence under another id is a fork"
                break
        assert self.consumer.done == self.sent


Inbox.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestInbox = Inbox.TestCase
