"""Proxy filing on the whole stack: given at intake, used and refused in mediation, over Kafka."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.client import Client, Stack, wait_for
from services.play import COURT, Play
from tests.e2e.running import RunningStack

pytestmark = pytest.mark.stack


def says(desk: Client, mediation: str, under: str, **word: str) -> httpx.Response:
    """A party's word, brought by who files for it."""
    return desk.request(
        "POST",
        "mediation",
        f"/v1/mediations/{mediation}/consents",
        json={"state": "given", "channel": "counter", **word},
        headers={"Mandate-Id": under},
    )


def as_party(stack: Stack, receipt: Any) -> dict[str, str]:
    """The party's own token."""
    answer = httpx.post(
        f"{stack.url('intake')}/v1/receipts/{receipt['number']}/tokens",
        json={"secret": receipt["secret"]},
    )
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_a_handlers_mandate_reaches_mediation_and_its_end_does_too(
    running: RunningStack, stack: Stack
) -> None:
    """Checklist 1.24: marked on each act, ended by one call; verify finds both copies alike."""
    play = Play(stack)
    case = play.post_loan()
    court = stack.client(COURT)
    offer = play.offered(court, case["case_id"], 1)
    desk = stack.client(offer["organisation"])
    mediation, receipt = play.accept(desk, offer), case["receipts"][0]
    path = f"/v1/cases/{case['case_id']}/mandates"
    body = {"party_ref": receipt["ref"], "agent_name": "样代办", "form": "written"}

    def given() -> Any:
        headers = {"Idempotency-Key": uuid4().hex}
        answer = desk.request("POST", "intake", path, json=body, headers=headers)
        return answer.json() if answer.status_code == 201 else None

    mandate = wait_for(given, seconds=60, describe="intake to know who holds the case")
    under, party = mandate["mandate_id"], receipt["party_id"]

    def heard() -> Any:
        answer = says(desk, mediation, under, party_id=party, step="mediate")
        return answer.json() if answer.status_code == 201 else None

    consent = wait_for(heard, seconds=60, describe="mediation to hear of the mandate")
    assert consent["mandate_id"] == under
    own = as_party(stack, receipt)
    httpx.post(f"{stack.url('intake')}/v1/party/mandates/revocations", headers=own)

    def refused() -> Any:
        somebody = {"step": "invite", "subject": f"n-{uuid4().hex}"}
        answer = says(desk, mediation, under, party_id=party, **somebody)
        return answer if answer.status_code == 409 else None

    answer = wait_for(refused, seconds=60, describe="mediation to hear of its end")
    assert answer.json()["errors"][0]["code"] == "mandate_revoked"
    log = httpx.get(f"{stack.url('mediation')}/v1/party/mediation-access-log", headers=own)
    marked = [e["what"] for e in log.json()["items"] if e["mandate_id"] == under]
    assert "consent.given" in marked
    done = running.command("verify", "--json", "--only", "folds")
    report = json.loads(done.stdout[done.stdout.index("{") :])
    assert done.returncode == 0, report
