"""Erasure at mediation: sealed texts go with the whole file, states and sums stay."""

from typing import Any

import pytest

from services.events.intake import CaseErased
from services.ids import new_id
from tests.mediation.world import Case, World

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]
SEALED = {
    "agreement": "sealed",
    "session_note": "sealed",
    "hand_over": "package_sealed",
    "assignment": "note_sealed",
}


async def erased(world: World, case: Case, *, whole: bool, again: int = 1) -> CaseErased:
    event = CaseErased(
        case_id=case.case_id,
        erasure_id=new_id(),
        parties=(case.applicant,),
        whole=whole,
        ground="term_ended" if whole else "unlawful",
        erased_at=world.now,
    )
    await world.hear(case, "intake", event, again=again)
    return event


async def left(world: World, case: Case) -> dict[str, int]:
    """Rows whose sealed text is still there, as the owner of all rows sees them."""
    async with world.runtime.pool.acquire() as db, db.transaction():
        await db.execute("SELECT set_config('liandiao.erasing', $1, true)", str(case.case_id))
        await db.execute("SELECT set_config('liandiao.organisation', '*', true)")
        return {
            table: await db.fetchval(
                f"SELECT count(*) FROM {table} WHERE case_id = $1 AND length({column}) > 0",
                case.case_id,
            )
            for table, column in SEALED.items()
        }


async def test_the_whole_file_is_emptied_and_its_figures_stay(world: World) -> None:
    """checklist 1.30: notes, agreement and sheet; the state and the obligations survive."""
    case = await world.appointed()
    note = await _note(world, case)
    path = f"/v1/mediations/{case.mediation_id}/agreements"
    agreement = await world.ok("POST", path, world.agreement_body(case))
    for missing in agreement["missing"]:
        agreement = await world.sign(agreement, missing["signer_kind"], missing["signer"])
    before = await left(world, case)
    assert (before["agreement"], before["session_note"]) == (1, 1)

    event = await erased(world, case, whole=True, again=2)

    assert set((await left(world, case)).values()) == {0}
    done = [e for t, e in await world.emitted(case) if t == "erasure.done"]
    assert [d["erasure_id"] for d in done] == [str(event.erasure_id)]
    assert done[0]["removed"] >= 2
    path = f"/v1/agreements/{agreement['agreement_id']}"
    assert (await world.refused("GET", path))[0] == 410
    row = await world.runtime.pool.fetchrow(
        "SELECT state, text_sha256 FROM agreement WHERE case_id = $1", case.case_id
    )
    assert (row["state"], row["text_sha256"]) == ("effective", agreement["text_sha256"])
    assert await _notes(world, note) == []


async def test_of_one_party_alone_the_sheet_goes_and_the_agreement_stays(world: World) -> None:
    """checklist 1.30: an agreement belongs to the others too."""
    case, _ = await world.agreed()

    await erased(world, case, whole=False)

    assert (await left(world, case))["agreement"] == 1
    async with world.runtime.unit_of_work() as uow:
        sheets = await uow.db.fetchval(
            "SELECT count(*) FROM party_sheet WHERE case_id = $1", case.case_id
        )
    assert sheets == 0


async def test_only_an_erasure_opens_notes_and_only_to_be_emptied(world: World) -> None:
    case = await world.appointed()
    await _note(world, case)

    async with world.runtime.unit_of_work() as uow:
        seen = await uow.db.fetchval(
            "SELECT count(*) FROM session_note WHERE case_id = $1", case.case_id
        )

    assert seen == 0


async def _note(world: World, case: Case) -> dict[str, Any]:
    """A caucus note of a mediator, on a session of the case."""
    mediator = (await world.mediators())[0]
    session = await world.ok(
        "POST", f"/v1/mediations/{case.mediation_id}/sessions", world.session_body(case)
    )
    path = f"/v1/sessions/{session['session_id']}/notes"
    await world.ok("POST", path, {"text": "只有本人能看"}, acted_by=mediator["staff_id"])
    return {"path": path, "author": mediator["staff_id"]}


async def _notes(world: World, note: dict[str, Any]) -> list[Any]:
    found = await world.ok("GET", note["path"], acted_by=note["author"])
    items: list[Any] = found["items"]
    return items
