"""Erasure: routing holds parties by id, role and kind alone, and the sources' own numbers."""

from services.events.intake import CaseErased, ErasureDone
from services.service import Received
from services.unit_of_work import UnitOfWork


async def obey(received: Received[CaseErased], uow: UnitOfWork) -> None:
    """Which organisation a party is goes; emits ``ErasureDone``. A repeat removes nothing more.

    Decisions explain what was done and are never rewritten: there is no person in them.
    """
    data = received.data
    await uow.lock_case(data.case_id, create=True, episode=received.episode)
    status = await uow.db.execute(
        """UPDATE routed_case SET facts = jsonb_set(facts, '{parties}', (
             SELECT coalesce(jsonb_agg(CASE WHEN p->>'party_id' = ANY($2::text[])
                      THEN p - 'organisation' ELSE p END ORDER BY n), '[]')
             FROM jsonb_array_elements(facts->'parties') WITH ORDINALITY AS t(p, n)))
           WHERE case_id = $1 AND EXISTS (
             SELECT 1 FROM jsonb_array_elements(facts->'parties') p
             WHERE p->>'party_id' = ANY($2::text[]) AND p->>'organisation' IS NOT NULL)""",
        data.case_id,
        [str(party_id) for party_id in data.parties],
    )
    uow.emit(
        ErasureDone(
            case_id=data.case_id,
            erasure_id=data.erasure_id,
            removed=int(status.split()[-1]),
            done_at=uow.now,
        )
    )
    uow.audit("erasure.obeyed", case_id=data.case_id, subject=str(data.erasure_id))
