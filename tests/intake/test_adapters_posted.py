"""What ``adapter try`` shows is what intake's door does, on real PostgreSQL."""

import json

import pytest

from tests.intake.adapters import LAYOUTS, outcomes
from tests.intake.world import Intake

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("name", LAYOUTS)
async def test_every_row_that_is_not_refused_is_registered_when_it_is_sent(
    intake: Intake, name: str
) -> None:
    for each in outcomes(name):
        if each.referral is None:
            continue
        body = json.dumps(each.referral, ensure_ascii=False).encode()

        answer = await intake.send(body, each.referral["source"]["organisation"])

        assert answer.status_code == 201, f"{each.row} {answer.text}"
        own = {reason.rule for reason in each.reasons}
        assert {warning["code"] for warning in answer.json()["warnings"]} <= own
