"""Work after the commit: the party sheet, fetched once per accepted assignment."""

from typing import Any, Final
from uuid import UUID

import structlog

from mediation.gate import seal
from mediation.proceeding import repository
from mediation.queue.handlers import PARTY_SHEET_JOB
from services.errors import Transient
from services.runtime import Runtime

log = structlog.get_logger(__name__)


async def fetch_party_sheet(_: UUID, payload: dict[str, Any], runtime: Runtime) -> None:
    """Fetch names and contacts from intake and keep them sealed, while the turn is held.

    Raises ``Transient`` while intake has not heard of the acceptance yet or cannot answer.
    """
    assignment_id, case_id = UUID(payload["assignment_id"]), UUID(payload["case_id"])
    async with runtime.unit_of_work(readonly=True) as uow:
        state = await uow.db.fetchval(
            "SELECT state FROM assignment WHERE assignment_id = $1", assignment_id
        )
    if state != "accepted":
        return
    answer = await runtime.http.get(
        f"{runtime.settings.intake_url}/v1/cases/{case_id}/party-sheet",
        params={"assignment_id": str(assignment_id)},
        headers={"Authorization": f"Bearer {await runtime.service_token()}"},
    )
    if answer.status_code in (409, 410):
        log.info("party sheet refused", case_id=str(case_id), status=answer.status_code)
        return
    if answer.status_code != 200:
        raise Transient(f"intake answered {answer.status_code}")
    sheet = answer.json()
    async with runtime.unit_of_work() as uow:
        row = await uow.db.fetchrow(
            "SELECT * FROM assignment WHERE assignment_id = $1 AND state = 'accepted' FOR SHARE",
            assignment_id,
        )
        if row is None:
            return
        sealed = seal(uow, "party-sheet").close(sheet, assignment_id)
        await repository.put_party_sheet(uow.db, row, sealed, uow.now)
        uow.audit("party-sheet.fetch", case_id=case_id, subject=str(assignment_id))


JOBS: Final = {PARTY_SHEET_JOB: fetch_party_sheet}
