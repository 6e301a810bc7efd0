"""The effects of several events, kept for one transaction and written together at its end."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from notification import repository
from notification.letters import Draft
from notification.model import CaseCopy
from notification.repository import Entry, Known
from notification.rules import Part
from services.events.routing import ParticipantJoined, ParticipantLeft
from services.service import Received
from services.unit_of_work import UnitOfWork

NAME = "notification"


@dataclass
class Batch:
    """Cases as they are known at this point of the stream, and what is to be written of them.

    It lives and dies with the consumer's transaction: when that fails, another begins anew.
    """

    db: asyncpg.Connection
    expected: frozenset[UUID] = frozenset()
    known: dict[UUID, Known] = field(default_factory=dict)
    references: list[tuple[Any, ...]] = field(default_factory=list)
    leavings: dict[tuple[UUID, str], datetime | None] = field(default_factory=dict)
    copies: dict[UUID, tuple[CaseCopy, datetime]] = field(default_factory=dict)
    stands: dict[tuple[UUID, str], tuple[UUID, datetime]] = field(default_factory=dict)
    entries: list[tuple[Received[Any], Entry]] = field(default_factory=list)
    drafts: list[tuple[Received[Any], Draft]] = field(default_factory=list)

    async def case(self, case_id: UUID) -> Known:
        """What is known of a case, with everything earlier events of this batch said."""
        if case_id not in self.known:
            wanted = (self.expected - self.known.keys()) | {case_id}
            self.known |= await repository.known(self.db, wanted)
        return self.known[case_id]

    def refer(
        self, received: Received[Any], organisation: str, referral_id: UUID, reference: str
    ) -> None:
        """A source's own number; with it the source takes part."""
        known = self.known[received.case_id]
        known.references.setdefault(organisation, reference)
        known.by_id[organisation] = Part(organisation, "source")
        self.references.append(
            (
                received.case_id,
                organisation,
                referral_id,
                reference,
                received.episode,
                received.occurred_at,
            )
        )

    def reopened(self, case_id: UUID, organisation: str) -> None:
        """A source that had left takes part again."""
        self.known[case_id].by_id[organisation] = Part(organisation, "source")
        self.leavings[case_id, organisation] = None

    def joined(self, event: ParticipantJoined) -> None:
        """A part began."""
        part = Part(event.organisation, event.role)
        self.known[event.case_id].by_id[str(event.participation_id)] = part

    def left(self, event: ParticipantLeft) -> None:
        """A part ended; a source's referral alone makes it no hearer any more."""
        by_id = self.known[event.case_id].by_id
        by_id.pop(str(event.participation_id), None)
        if event.role == "source":
            by_id.pop(event.organisation, None)
            self.leavings[event.case_id, event.organisation] = event.left_at

    def add(
        self,
        received: Received[Any],
        *,
        copy: CaseCopy | None = None,
        stands: Iterable[str] = (),
        entries: Iterable[Entry] = (),
        drafts: Iterable[Draft] = (),
    ) -> None:
        """What follows from one event."""
        if copy is not None:
            self.known[received.case_id].copy = copy
            self.copies[received.case_id] = (copy, received.occurred_at)
        for key in stands:
            self.stands[received.case_id, key] = (received.event_id, received.occurred_at)
        self.entries.extend((received, entry) for entry in entries)
        self.drafts.extend((received, draft) for draft in drafts)

    async def write(self) -> None:
        """Write all of it; a second call writes nothing."""
        references, self.references = self.references, []
        if references:
            await repository.add_references(self.db, references)
        leavings, self.leavings = self.leavings, {}
        if leavings:
            await repository.set_left(self.db, leavings)
        copies, self.copies = self.copies, {}
        stands, self.stands = self.stands, {}
        entries, self.entries = self.entries, []
        drafts, self.drafts = self.drafts, []
        if copies or stands or entries or drafts:
            await repository.write(self.db, copies, stands, entries, drafts)


def batch_of(uow: UnitOfWork) -> tuple[Batch, bool]:
    """The batch this event belongs to, and whether the consumer writes it at its end."""
    memory = uow.batch
    if memory is None:
        return Batch(uow.db), False
    batch = memory.notes.get(NAME)
    if batch is None:
        batch = memory.notes[NAME] = Batch(uow.db, frozenset(memory.cases))
        memory.endings.append(batch.write)
    return batch, True
