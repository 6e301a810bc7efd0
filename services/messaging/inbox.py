"""What a consumer remembers of each case: how far each source has been handled."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from services.messaging.failpoints import failpoint

if TYPE_CHECKING:
    from services.unit_of_work import UnitOfWork


class Verdict(StrEnum):
    """What a sequence means beside the last one handled."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    GAP = "gap"
    FORK = "fork"


class Head(NamedTuple):
    """The last handled event of one case of one source."""

    sequence: int
    event_id: UUID


def judge(head: Head | None, sequence: int, event_id: UUID) -> Verdict:
    """Next: do it. Not higher: a copy. Higher than next: something is missing before it.

    The last sequence under another id is a fork: the sender's database was restored.
    """
    last = head.sequence if head else 0
    if sequence == last + 1:
        return Verdict.NEXT
    if sequence > last:
        return Verdict.GAP
    if head and sequence == last and event_id != head.event_id:
        return Verdict.FORK
    return Verdict.DUPLICATE


@dataclass
class Round:
    """A service's copy of a case's episode and of open or closed."""

    episode: int
    closed: bool

    def is_over_for(self, episode: int) -> bool:
        """True when an event of ``episode`` may be recorded but changes nothing any more."""
        return episode < self.episode or (self.closed and episode <= self.episode)


@dataclass
class Fence:
    """Where a batch begins in each partition of a topic: the rows that only one may move."""

    topic: str
    generation: int
    expected: dict[int, int]


class Moved(Exception):
    """Somebody else moved the position row: the batch is not ours."""

    def __init__(self, next_offset: int) -> None:
        super().__init__(next_offset)
        self.next_offset = next_offset


class Memory:
    """Heads, rounds and parked keys of the cases in one batch; read once, written once.

    The parked rows stay locked until the transaction ends, so that a replay and the consumer
    never handle one case at the same time. All handlers of a batch share one unit of work, which
    is flushed at the end: a batch costs the same few statements however many events it has.
    """

    def __init__(self, db: asyncpg.Connection, consumer: str) -> None:
        self._db = db
        self._consumer = consumer
        self._changed: set[tuple[str, UUID]] = set()
        self.heads: dict[tuple[str, UUID], Head] = {}
        self.rounds: dict[UUID, Round] = {}
        # Rounds that changed and are not written yet, with the case's number where it is new.
        self.turned: dict[UUID, str | None] = {}
        self.parked: dict[str, tuple[str, str | None]] = {}
        self.cases: set[UUID] = set()
        self.unit: UnitOfWork | None = None
        # What handlers keep for the length of the transaction, and do once at its end.
        self.notes: dict[str, Any] = {}
        self.endings: list[Callable[[], Awaitable[None]]] = []

    async def load(
        self,
        keys: Iterable[str],
        subjects: Iterable[tuple[str, UUID]],
        fence: Fence | None = None,
    ) -> datetime:
        """Read parked keys, heads and rounds; lock and read again when something is parked.

        With a ``fence`` the position rows are locked and compared in the same statement. It may
        have read heads of before it got the lock, but then a row has moved: raises ``Moved``. One
        snapshot is enough while nothing is parked: only a replay of a parked key moves heads beside
        the consumer, and only the consumer, behind its position row, parks a key. Answers the
        database's time; the transaction is the service's own for row-level security. PostgreSQL
        ends it when nothing is asked for 10 s: a process that is frozen with the position row
        locked would else keep its successor waiting for ever.
        """
        names, wanted = list(set(keys)), list(set(subjects))
        self.cases = {case_id for _, case_id in wanted}
        now = await self._read(names, wanted, fence)
        if self.parked:
            await self._db.execute(
                """SELECT 1 FROM parked_case WHERE consumer = $1 AND key = ANY($2::text[])
                   ORDER BY key FOR UPDATE""",
                self._consumer,
                names,
            )
            self.parked.clear()
            self.heads.clear()
            self.rounds.clear()
            await self._read(names, wanted, None)
        return now

    async def _read(
        self, keys: list[str], wanted: list[tuple[str, UUID]], fence: Fence | None
    ) -> datetime:
        found: dict[int, int] = {}
        now: datetime | None = None
        for row in await self._db.fetch(
            _READ,
            self._consumer,
            [source for source, _ in wanted],
            [case_id for _, case_id in wanted],
            keys,
            list(self.cases),
            fence.topic if fence else "",
            fence.generation if fence else 0,
            list(fence.expected) if fence else [],
        ):
            match row["what"]:
                case 0:
                    now = row["now"]
                case 1:
                    found[row["partition"]] = row["sequence"]
                case 2:
                    self.parked[row["key"]] = (row["code"], row["source"])
                case 3:
                    head = Head(row["sequence"], row["event_id"])
                    self.heads[row["source"], row["case_id"]] = head
                case 4:
                    self.rounds[row["case_id"]] = Round(row["partition"], row["closed"])
        for partition, offset in fence.expected.items() if fence else ():
            if found.get(partition) != offset:
                raise Moved(found.get(partition, -1))
        assert now is not None  # noqa: S101 - the statement always answers it
        return now

    def advance(self, source: str, case_id: UUID, sequence: int, event_id: UUID) -> None:
        """Remember that this event is done."""
        self.heads[source, case_id] = Head(sequence, event_id)
        self._changed.add((source, case_id))

    def turn(self, case_id: UUID, round_: Round, case_number: str | None) -> None:
        """Remember a case's new round: told to the unit of work when it locks or has the row."""
        self.rounds[case_id] = round_
        self.turned[case_id] = case_number or self.turned.get(case_id)
        if self.unit is not None:
            self.unit.take_turn(case_id)

    async def save(self, fence: Fence | None = None) -> None:
        """Write what handlers kept, what they emitted, the heads that moved, the rounds.

        With a ``fence``, also where each partition's next batch begins (its ``expected``).
        """
        endings, self.endings = self.endings, []
        for ending in endings:
            await ending()
        if self.unit is not None:
            await self.unit.flush()
        failpoint("consumer.after_emit")
        changed, turned = list(self._changed), list(self.turned.items())
        self._changed.clear()
        self.turned.clear()
        if not (changed or turned or fence):
            return
        heads = [self.heads[subject] for subject in changed]
        rounds = [self.rounds[case_id] for case_id, _ in turned]
        await self._db.execute(
            _SAVE,
            self._consumer,
            [source for source, _ in changed],
            [case_id for _, case_id in changed],
            [head.sequence for head in heads],
            [head.event_id for head in heads],
            [case_id for case_id, _ in turned],
            [number for _, number in turned],
            [round_.episode for round_ in rounds],
            [round_.closed for round_ in rounds],
            fence.topic if fence else "",
            fence.generation if fence else 0,
            list(fence.expected) if fence else [],
            list(fence.expected.values()) if fence else [],
        )
        failpoint("consumer.after_inbox")


_READ: Final = """
WITH fence AS MATERIALIZED (
  SELECT partition, next_offset FROM position
  WHERE consumer = $1 AND topic = $6 AND generation = $7 AND partition = ANY($8::int[])
  ORDER BY partition FOR UPDATE
)
SELECT 0 AS what, set_config('liandiao.organisation', '*', true) AS key,
  set_config('plan_cache_mode', 'force_generic_plan', true) AS code,
  set_config('idle_in_transaction_session_timeout', '10s', true) AS source,
  NULL::uuid AS case_id, NULL::bigint AS sequence, NULL::uuid AS event_id,
  NULL::int AS partition, NULL::bool AS closed, now() AS now
UNION ALL
SELECT 1, NULL, NULL, NULL, NULL, next_offset, NULL, partition, NULL, NULL FROM fence
UNION ALL
SELECT 2, key, code, source, NULL, NULL, NULL, NULL, NULL, NULL
FROM parked_case WHERE consumer = $1 AND key = ANY($4::text[])
UNION ALL
SELECT 3, NULL, NULL, i.source, i.case_id, i.sequence, i.event_id, NULL, NULL, NULL
FROM unnest($2::text[], $3::uuid[]) AS w(source, case_id)
JOIN inbox i ON i.consumer = $1 AND i.source = w.source AND i.case_id = w.case_id
UNION ALL
SELECT 4, NULL, NULL, NULL, case_id, NULL, NULL, episode, closed, NULL
FROM case_stream WHERE case_id = ANY($5::uuid[])
"""

_SAVE: Final = """
WITH heads AS (
  INSERT INTO inbox (consumer, source, case_id, sequence, event_id, at)
  SELECT $1, source, case_id, sequence, event_id, clock_timestamp()
  FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::uuid[])
    AS t(source, case_id, sequence, event_id)
  ON CONFLICT (consumer, source, case_id) DO UPDATE
  SET sequence = excluded.sequence, event_id = excluded.event_id, at = excluded.at
), rounds AS (
  INSERT INTO case_stream (case_id, case_number, episode, closed)
  SELECT * FROM unnest($6::uuid[], $7::text[], $8::int[], $9::bool[])
  ON CONFLICT (case_id) DO UPDATE
  SET case_number = coalesce(case_stream.case_number, excluded.case_number),
    episode = greatest(case_stream.episode, excluded.episode), closed = excluded.closed
)
UPDATE position p SET next_offset = m.next_offset, updated_at = clock_timestamp()
FROM unnest($12::int[], $13::bigint[]) AS m(partition, next_offset)
WHERE p.consumer = $1 AND p.topic = $10 AND p.generation = $11 AND p.partition = m.partition
"""
