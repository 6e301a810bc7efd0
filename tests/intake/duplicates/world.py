"""The same dispute told at two doors, and organisations that take part in cases."""

import copy
from typing import Any
from uuid import UUID

from intake.duplicates.handlers import compare_waiting
from services.events.routing import ParticipantJoined
from services.ids import new_id
from tests.intake.world import CENTRE, COURT, POLICE, SENDER, Intake, bearer, referral, token

HOTLINE = "330681-HL-0001"
STAFF = "staff-7"


def told_again(organisation: str = POLICE, reference: str = "J1", **members: Any) -> dict[str, Any]:
    """The court's loan dispute, in other words at another door."""
    document = copy.deepcopy(referral(reference))
    document["source"]["organisation"] = organisation
    document |= {"lane": "police_civil", "channel": "stream", "legal_context": {}}
    if organisation == HOTLINE:
        document |= {"lane": "admin", "channel": "hotline"}
    return {**document, **members}


async def compared(intake: Intake) -> int:
    """Compare all that waits."""
    done = 0
    while count := await compare_waiting(intake.runtime):
        done += count
    return done


async def takes_part(intake: Intake, case: Any, organisation: str = CENTRE) -> None:
    """Routing said that the organisation handles the case."""
    await intake.hear(
        ParticipantJoined(
            case_id=UUID(case["case_id"]),
            participation_id=new_id(),
            organisation=organisation,
            role="handler",
            joined_at=case["registered_at"],
        ),
        await _next(intake, case),
    )


async def _next(intake: Intake, case: Any) -> int:
    return 1 + await intake.runtime.pool.fetchval(
        "SELECT count(*) FROM participation WHERE case_id = $1", UUID(case["case_id"])
    )


async def duplicates(intake: Intake, case: Any, organisation: str = COURT, **query: Any) -> Any:
    """What an organisation is shown."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return await intake.get(f"/v1/cases/{case['case_id']}/duplicates?{asked}", organisation)


async def decide(
    intake: Intake, path: str, body: Any, organisation: str = CENTRE, staff: str | None = STAFF
) -> Any:
    """A member of staff decides."""
    head = {**bearer(token(organisation, *SENDER)), **intake.key()}
    if staff:
        head["Acted-By"] = staff
    return await intake.http.post(path, json=body, headers=head)


async def joined(intake: Intake) -> tuple[Any, Any, str]:
    """The court's case goes on, the police's rests: by the centre that handles both."""
    one = await intake.registered("R1")
    answer = await intake.post("/v1/referrals", told_again(), POLICE)
    assert answer.status_code == 201, answer.text
    other = answer.json()
    for case in (one, other):
        await takes_part(intake, case)
    done = await decide(
        intake,
        f"/v1/cases/{one['case_id']}/joins",
        {"other_case_id": other["case_id"], "ground": "same_dispute"},
    )
    assert done.status_code == 201, done.text
    return one, other, done.json()["join_id"]
