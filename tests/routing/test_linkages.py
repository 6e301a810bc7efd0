"""One agency asks another for evidence, by REST and by command."""

from typing import Any
from uuid import UUID

import pytest

from routing import commands
from services.auth import Caller
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.ids import new_id
from services.service import Command
from tests.routing.world import COURT, POLICE, Case, World

pytestmark = pytest.mark.postgres
BODY = {"asked": POLICE, "items": ["scene-record"], "legal_basis": "人民警察法 6"}


async def asked(world: World) -> tuple[Case, dict[str, Any]]:
    """A case on which the court asked the police for the scene record."""
    case = await world.registered()
    body = {**BODY, "case_id": str(case.case_id)}
    return case, await world.ok("POST", "/v1/linkages", body)


async def test_the_court_asks_the_police_and_is_answered(world: World) -> None:
    case, linkage = await asked(world)
    assert (await world.names(case))[4:] == [
        "participant.joined",
        "linkage.requested",
        "deadline.started",
    ]
    path = f"/v1/linkages/{linkage['linkage_id']}"
    assert (await world.ok("GET", path, by=POLICE))["state"] == "requested"
    papers = [{"sha256": "a" * 64, "size": 3, "media_type": "image/png"}]

    answer = {"result": "done", "documents": papers}
    assert (await world.call("POST", f"{path}/answers", answer, version=1)).status_code == 403
    done = await world.ok("POST", f"{path}/answers", answer, by=POLICE, version=1)

    assert (done["state"], done["result"], done["documents"]) == ("answered", "done", papers)
    assert (await world.names(case))[7:] == [
        "linkage.answered",
        "deadline.stopped",
        "participant.left",
    ]
    again = await world.refused("POST", f"{path}/answers", answer, by=POLICE, version=2)
    assert again[0] == 404  # it left the case with its answer
    assert (await world.ok("GET", path, by=POLICE))["state"] == "answered"
    assert (await world.call("GET", path, by="330681-CM-0008")).status_code == 404


async def test_a_refusal_needs_a_ground_and_an_old_version_is_refused(world: World) -> None:
    _, linkage = await asked(world)
    path = f"/v1/linkages/{linkage['linkage_id']}/answers"
    body = {"result": "cannot"}

    assert await world.refused("POST", path, body, by=POLICE, version=1) == (422, "required")
    assert await world.refused("POST", path, body, by=POLICE, version=9) == (
        412,
        "version-mismatch",
    )
    assert await world.refused("POST", path, body, by=POLICE) == (428, "version-required")


async def test_who_asked_can_cancel(world: World) -> None:
    case, linkage = await asked(world)
    path = f"/v1/linkages/{linkage['linkage_id']}/cancellations"

    gone = await world.ok("POST", path, {}, version=1)

    assert gone["state"] == "cancelled"
    assert (await world.last(case, "participant.left"))["organisation"] == POLICE


async def test_closing_cancels_what_is_open(world: World) -> None:
    case, _ = await asked(world)

    await world.close(case)

    assert (await world.last(case, "linkage.cancelled"))["reason"] == "case-closed"
    assert (await world.last(case, "participant.left"))["organisation"] == POLICE
    body = {**BODY, "case_id": str(case.case_id)}
    assert (await world.refused("POST", "/v1/linkages", body))[1] == "case-closed"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"asked": "990000-PS-0001"}, (422, "unknown_organisation")),
        ({"asked": COURT}, (422, "asks_itself")),
        ({"items": []}, (422, "too_short")),
        ({"kind": "gossip"}, (422, "literal_error")),
        ({"answer_by": "2020-01-01T00:00:00Z"}, (422, "in_the_past")),
    ],
)
async def test_a_bad_request_is_refused(
    world: World, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    case = await world.registered()
    body = {**BODY, "case_id": str(case.case_id), **change}

    assert await world.refused("POST", "/v1/linkages", body) == expected


async def run(world: World, type_: str, data: dict[str, Any], by: str) -> dict[str, Any]:
    """A command of an agency, as the commands consumer runs it."""
    caller = Caller(f"o-{by.lower()}", f"o-{by.lower()}", by, (by,), frozenset())
    async with world.runtime.unit_of_work(caller=caller) as uow:
        command = Command(f"o-{by.lower()}", new_id(), type_, None, data, None, "t", 0, 0)
        return await commands.COMMANDS[type_](command, uow)


async def test_the_same_by_command(world: World) -> None:
    case = await world.registered()
    data = {**BODY, "case_id": str(case.case_id), "organisation": COURT, "extra": 1}

    answer = await run(world, "linkage.request", data, COURT)

    assert answer == {"case_id": case.case_id, "case_number": case.number}
    linkage_id = (await world.last(case, "linkage.requested"))["linkage_id"]
    reply = {"linkage_id": linkage_id, "result": "partly", "organisation": POLICE}
    with pytest.raises(Forbidden):
        await run(world, "linkage.answer", reply, COURT)
    await run(world, "linkage.answer", reply, POLICE)
    assert (await world.last(case, "linkage.answered"))["result"] == "partly"
    with pytest.raises(NotFound):
        await run(world, "linkage.answer", reply, POLICE)


async def test_recall_and_objection_by_command(world: World) -> None:
    case = await world.registered("petition-demolition-compensation")
    turn = await world.turn(case)
    data = {"assignment_id": turn["assignment_id"], "upheld": True}
    with pytest.raises(Conflict):
        await run(world, "objection.decide", data, case.source)
    await world.object_to(case)

    await run(world, "objection.decide", data, case.source)
    await run(world, "assignment.recall", data, case.source)

    names = await world.names(case)
    assert names[-2:] == ["assignment.objection-decided", "assignment.recalled"]
    with pytest.raises(Invalid) as refusal:
        await run(world, "objection.decide", {"upheld": "perhaps"}, case.source)
    assert {fault.pointer for fault in refusal.value.errors} == {"/assignment_id", "/upheld"}
    assert UUID(turn["assignment_id"])
