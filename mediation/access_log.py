"""Who opened a party's data at the mediating body, or acted under its mandate: the party's view."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter

from mediation.schemas import AccessEntry
from services.errors import CursorInvalid
from services.http import PartyItself, Reader
from services.paging import Items, Paging
from services.problem import problems

router = APIRouter(prefix="/v1")
#: What shows who a party is, or what it agreed to.
READINGS: Final = ("party-sheet.read", "agreement.read", "hand-over.read")


@router.get(
    "/party/mediation-access-log",
    response_model=Items[AccessEntry],
    responses=problems(CursorInvalid),
    summary="Who opened your file at the mediating body",
)
async def read_access_log(party: PartyItself, uow: Reader, page: Paging) -> Any:
    """Party sheet, agreement and hand-over: when, by which organisation, for what.

    And every act that was done for the party under its mandate (代办), with the mandate.
    For the party itself: it watches by this those who act for it.
    """
    filters = {"case_id": str(party.case_id)}
    after = page.after(filters, direction="desc")
    try:
        seen = (datetime.fromisoformat(after[0]), UUID(after[1])) if after else (None, None)
    except (ValueError, TypeError, AttributeError, IndexError):
        raise CursorInvalid() from None
    rows = await uow.db.fetch(
        """SELECT id, action, organisation, purpose, recorded_at, chain_number,
             detail->>'mandate_id' AS mandate_id FROM audit_entry
           WHERE case_id = $1
             AND (action = ANY($2) OR (detail ? 'mandate_id' AND detail->'parties' ? $5))
             AND ($3::timestamptz IS NULL OR (recorded_at, id) < ($3, $4))
             AND EXISTS (SELECT 1 FROM case_copy c WHERE c.case_id = $1 AND EXISTS (
               SELECT 1 FROM jsonb_array_elements(c.parties) p WHERE p->>'party_id' = $5))
           ORDER BY recorded_at DESC, id DESC LIMIT $6""",
        party.case_id,
        list(READINGS),
        *seen,
        str(party.party_id),
        page.fetch,
    )
    return page.answer(
        rows,
        lambda row: [row["recorded_at"].isoformat(), row["id"]],
        lambda row: {**dict(row), "at": row["recorded_at"], "what": row["action"]},
        filters,
        direction="desc",
    )
