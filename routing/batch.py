"""New cases of one consumer's transaction: looked up together, written together at its end."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from routing import repository
from routing.repository import Row, Writes
from services.unit_of_work import UnitOfWork

NAME = "routing"


@dataclass
class Batch:
    """What was decided for new cases and is not written yet; dies with its transaction."""

    db: asyncpg.Connection
    writes: Writes = field(default_factory=Writes)
    cases: set[UUID] = field(default_factory=set)
    referrals: dict[UUID, Row] = field(default_factory=dict)
    loads: dict[str, int] = field(default_factory=dict)

    def refer(
        self,
        *,
        referral_id: UUID,
        case_id: UUID,
        organisation: str,
        reference: str,
        occurred_at: datetime,
        recorded_at: datetime,
    ) -> None:
        """A source's own number of a case that is not routed yet."""
        self.cases.add(case_id)
        self.referrals[referral_id] = self.writes.add(
            "referral_heard",
            {
                "referral_id": referral_id,
                "case_id": case_id,
                "organisation": organisation,
                "reference": reference,
                "occurred_at": occurred_at,
                "recorded_at": recorded_at,
            },
        )

    async def look_up(
        self, organisations: list[str], referral_id: UUID
    ) -> tuple[dict[str, int], str | None]:
        """Open turns by organisation, those of this batch counted; and the source's own number."""
        missing = [code for code in organisations if code not in self.loads]
        heard = self.referrals.get(referral_id)
        reference: str | None = heard["reference"] if heard else None
        if missing or heard is None:
            loads, stored = await repository.loads_of(self.db, missing, referral_id)
            self.loads |= {code: loads.get(code, 0) for code in missing}
            reference = reference or stored
        return self.loads, reference

    def took(self, organisation: str) -> None:
        """An organisation got one more turn in this batch."""
        self.loads[organisation] = self.loads.get(organisation, 0) + 1

    async def write(self) -> None:
        """Write what is pending; a second call writes nothing."""
        self.cases.clear()
        self.referrals.clear()
        await self.writes.write(self.db)


def batch_of(uow: UnitOfWork) -> tuple[Batch, bool]:
    """The batch of this transaction, and whether the consumer writes it at its end."""
    memory = uow.batch
    if memory is None:
        return Batch(uow.db), False
    batch = memory.notes.get(NAME)
    if batch is None:
        batch = memory.notes[NAME] = Batch(uow.db)
        memory.endings.append(batch.write)
    return batch, True


async def written(uow: UnitOfWork, case_id: UUID | None = None) -> None:
    """Write what is pending, of this case or of any, before something reads it."""
    batch, kept = batch_of(uow)
    if kept and (case_id is None or case_id in batch.cases):
        await batch.write()
