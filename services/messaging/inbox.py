"""What a consumer remembers of each case: how far each source has been handled."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
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

    async def load(self, keys: Iterable[str], subjects: Iterable[tuple[str, UUID]]) -> None:
        """Lock the parked keys, then read heads and rounds: in this order."""
        for row in await self._db.fetch(
            """SELECT key, code, source FROM parked_case
               WHERE consumer = $1 AND key = ANY($2::text[]) ORDER BY key FOR UPDATE""",
            self._consumer,
            sorted(set(keys)),
        ):
            self.parked[row["key"]] = (row["code"], row["source"])
        wanted = sorted(set(subjects))
        for row in await self._db.fetch(
            """SELECT i.source, i.case_id, i.sequence, i.event_id
               FROM unnest($2::text[], $3::uuid[]) AS w(source, case_id)
               JOIN inbox i ON i.consumer = $1
                 AND i.source = w.source AND i.case_id = w.case_id""",
            self._consumer,
            [source for source, _ in wanted],
            [case_id for _, case_id in wanted],
        ):
            head = Head(row["sequence"], row["event_id"])
            self.heads[row["source"], row["case_id"]] = head
        for row in await self._db.fetch(
            "SELECT case_id, episode, closed FROM case_stream WHERE case_id = ANY($1::uuid[])",
            list({case_id for _, case_id in wanted}),
        ):
            self.rounds[row["case_id"]] = Round(row["episode"], row["closed"])

    def advance(self, source: str, case_id: UUID, sequence: int, event_id: UUID) -> None:
        """Remember that this event is done."""
        self.heads[source, case_id] = Head(sequence, event_id)
        self._changed.add((source, case_id))

    async def save(self) -> None:
        """Write the heads that moved."""
        if not self._changed:
            return
        changed = sorted(self._changed)
        self._changed.clear()
        heads = [self.heads[subject] for subject in changed]
        await self._db.execute(
            """INSERT INTO inbox (consumer, source, case_id, sequence, event_id, at)
               SELECT $1, source, case_id, sequence, event_id, clock_timestamp()
               FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::uuid[])
                 AS t(source, case_id, sequence, event_id)
               ON CONFLICT (consumer, source, case_id) DO UPDATE
               SET sequence = excluded.sequence, event_id = excluded.event_id, at = excluded.at""",
            self._consumer,
            [source for source, _ in changed],
            [case_id for _, case_id in changed],
            [head.sequence for head in heads],
            [head.event_id for head in heads],
        )
