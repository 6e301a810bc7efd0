"""A party that was named only after the case came in: heard once, and asked like the others."""

import pytest

from services.events.envelope import Party
from services.events.intake import PartyChanged
from services.ids import new_id
from tests.mediation.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]


async def test_a_party_named_later_is_one_of_the_mediation_and_may_consent(world: World) -> None:
    case, late = await world.accepted(), new_id()
    added = Party(party_id=late, role="third_party", kind="person")
    naming = PartyChanged(
        case_id=case.case_id,
        party_id=late,
        changed=("added",),
        added=added,
        changed_at=world.now,
    )

    await world.hear(case, "intake", naming)
    await world.hear(case, "intake", naming)

    view = await world.ok("GET", f"/v1/mediations/{case.mediation_id}")
    assert [p["party_id"] for p in view["parties"]].count(str(late)) == 1
    consent = {"party_id": str(late), "step": "mediate", "state": "given", "channel": "phone"}
    done = await world.ok("POST", f"/v1/mediations/{case.mediation_id}/consents", consent)
    assert done["party_id"] == str(late)
