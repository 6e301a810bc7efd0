"""An erasure takes who filed for a party, and of a whole file what was added and its matter."""

import pytest

from intake.rights.erasing import shred_doors
from services.ids import new_id
from tests.intake.world import COURT, Intake

pytestmark = pytest.mark.postgres


async def test_mandates_supplements_and_their_keys_go_and_a_repeat_finds_nothing(
    intake: Intake,
) -> None:
    """checklist 1.30"""
    done = await intake.registered("R-erase")
    path = f"/v1/cases/{done['case_id']}"
    mandate = {"agent_name": "样代办", "form": "written"}
    given = await intake.post(f"{path}/mandates", mandate, **intake.key())
    under = {"kind": "supplement", "text": "样", "mandate_id": given.json()["mandate_id"]}
    for body in (under, {"kind": "supplement", "text": "样"}):
        added = await intake.post(f"{path}/supplements", body, **intake.key())
        assert added.status_code == 201, added.text
    case, party = {"case_id": done["case_id"]}, {"party_id": done["receipts"][0]["party_id"]}

    async with intake.runtime.unit_of_work() as uow:
        of_nobody = await shred_doors(uow, case, [{"party_id": new_id()}], False)
        of_party = await shred_doors(uow, case, [party], False)
        of_file = await shred_doors(uow, case, [party], True)
        again = await shred_doors(uow, case, [party], True)

    assert [len(keys) for keys in (of_nobody, of_party, of_file, again)] == [0, 2, 1, 0]
    shown = await intake.get(f"{path}/supplements?purpose=handling", COURT)
    assert [item["text"] for item in shown.json()["items"]] == [None, None]
