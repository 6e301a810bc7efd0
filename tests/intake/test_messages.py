"""Whatever is refused is told in Chinese and English."""

import re

import pytest

from intake.adapters import messages as adapters
from intake.messages import MESSAGES, message
from tests.intake.world import Intake, referral

CHINESE, ENGLISH = re.compile(r"[\u4e00-\u9fff]"), re.compile(r"[A-Za-z]{3}")


@pytest.mark.parametrize("code", sorted(MESSAGES))
def test_a_rule_is_told_in_both_languages(code: str) -> None:
    said = message(code)

    assert CHINESE.search(said), said
    assert ENGLISH.search(said), said


@pytest.mark.parametrize("code", sorted(adapters.MESSAGES))
def test_a_rule_of_an_adapter_is_told_in_both_by_itself(code: str) -> None:
    said = adapters.message(code)

    assert CHINESE.search(said), said
    assert said.endswith(adapters.MESSAGES[code])


@pytest.mark.postgres
async def test_a_refused_referral_names_field_and_rule_in_both(intake: Intake) -> None:
    document = referral()
    document["claim_fen"] = -1

    answer = await intake.post("/v1/referrals", document)

    (fault,) = answer.json()["errors"]
    assert (fault["pointer"], fault["code"]) == ("/claim_fen", "claim_negative")
    assert CHINESE.search(fault["message"])
    assert ENGLISH.search(fault["message"])


@pytest.mark.postgres
async def test_a_body_that_does_not_fit_its_schema_is_told_in_both(intake: Intake) -> None:
    done = await intake.registered("R1")
    body = {"reason": "nonsense", "unknown": True}

    path = f"/v1/referrals/{done['referral_id']}/withdrawals"
    answer = await intake.post(path, body, **intake.key())

    faults = {fault["pointer"]: fault["message"] for fault in answer.json()["errors"]}
    assert faults.keys() == {"/reason", "/unknown"}
    assert all(CHINESE.search(said) and ENGLISH.search(said) for said in faults.values())
