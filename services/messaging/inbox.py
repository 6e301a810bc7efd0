"""What a consumer remembers of each case: how far each source has been handled."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import asyncpg


class Verdict(StrEnum):
    """What a sequence means beside the last one handled."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    GAP = "gap"
    FORK = "fork"


@dataclass(frozen=True)
class Head:
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


class Memory:
    """Heads, rounds and parked keys of the cases in one batch; read once, written once.

    The parked rows stay locked until the transaction ends, so that a replay and the consumer
    never handle one case at the same time.
    """

    def __init__(self, db: asyncpg.Connection, consumer: str) -> None:
        self._db = db
        self._consumer = consumer
        self._changed: set[tuple[str, UUID]] = set()
        self.heads: dict[tuple[str, UUID], Head] = {}
        self.rounds: dict[UUID, Round] = {}
        self.parked: dict[str, tuple[str, str | None]] = {}
        self.cases: set[UUID] = set()
        # What handlers keep for the length of the transaction, and do once at its end.
        self.notes: dict[str, Any] = {}
        self.endings: list[Callable[[], Awaitable[None]]] = []

    async def load(self, keys: Iterable[str], subjects: Iterable[tuple[str, UUID]]) -> None:
        """Read parked keys, heads and rounds in one statement; lock and read again when parked.

        One snapshot is enough while nothing is parked: only a replay of a parked key moves heads
        beside the consumer, and only the consumer, behind its position row, parks a key.
        """
        names, wanted = list(set(keys)), list(set(subjects))
        self.cases = {case_id for _, case_id in wanted}
        await self._read(names, wanted)
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
            await self._read(names, wanted)

    async def _read(self, keys: list[str], wanted: list[tuple[str, UUID]]) -> None:
        for row in await self._db.fetch(
            """SELECT 1 AS what, key, code, source, NULL::uuid AS case_id, NULL::bigint AS sequence,
                 NULL::uuid AS event_id, NULL::int AS episode, NULL::bool AS closed
               FROM parked_case WHERE consumer = $1 AND key = ANY($4::text[])
               UNION ALL
               SELECT 2, NULL, NULL, i.source, i.case_id, i.sequence, i.event_id, NULL, NULL
               FROM unnest($2::text[], $3::uuid[]) AS w(source, case_id)
               JOIN inbox i ON i.consumer = $1
                 AND i.source = w.source AND i.case_id = w.case_id
               UNION ALL
               SELECT 3, NULL, NULL, NULL, case_id, NULL, NULL, episode, closed
               FROM case_stream WHERE case_id = ANY($5::uuid[])""",
            self._consumer,
            [source for source, _ in wanted],
            [case_id for _, case_id in wanted],
            keys,
            list({case_id for _, case_id in wanted}),
        ):
            if row["what"] == 1:
                self.parked[row["key"]] = (row["code"], row["source"])
            elif row["what"] == 2:
                head = Head(row["sequence"], row["event_id"])
                self.heads[row["source"], row["case_id"]] = head
            else:
                self.rounds[row["case_id"]] = Round(row["episode"], row["closed"])

    def advance(self, source: str, case_id: UUID, sequence: int, event_id: UUID) -> None:
        """Remember that this event is done."""
        self.heads[source, case_id] = Head(sequence, event_id)
        self._changed.add((source, case_id))

    async def save(self) -> None:
        """Write the heads that moved."""
        await self._end()
        if self._changed:
            await self._db.execute(_SAVE + "SELECT 1", *self._moved())

    async def save_and_move(
        self, topic: str, generation: int, next_offsets: Mapping[int, int]
    ) -> None:
        """Write the heads that moved and where each partition's next batch begins, in one trip."""
        await self._end()
        await self._db.execute(
            f"""{_SAVE} UPDATE position p
                SET next_offset = m.next_offset, updated_at = clock_timestamp()
                FROM unnest($8::int[], $9::bigint[]) AS m(partition, next_offset)
                WHERE p.consumer = $1 AND p.topic = $6 AND p.generation = $7
                  AND p.partition = m.partition""",
            *self._moved(),
            topic,
            generation,
            list(next_offsets),
            list(next_offsets.values()),
        )

    async def _end(self) -> None:
        endings, self.endings = self.endings, []
        for ending in endings:
            await ending()

    def _moved(self) -> tuple[Any, ...]:
        changed = list(self._changed)
        self._changed.clear()
        heads = [self.heads[subject] for subject in changed]
        return (
            self._consumer,
            [source for source, _ in changed],
            [case_id for _, case_id in changed],
            [head.sequence for head in heads],
            [head.event_id for head in heads],
        )


_SAVE: Final = """
WITH heads AS (
  INSERT INTO inbox (consumer, source, case_id, sequence, event_id, at)
  SELECT $1, source, case_id, sequence, event_id, clock_timestamp()
  FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::uuid[])
    AS t(source, case_id, sequence, event_id)
  ON CONFLICT (consumer, source, case_id) DO UPDATE
  SET sequence = excluded.sequence, event_id = excluded.event_id, at = excluded.at
)
"""
