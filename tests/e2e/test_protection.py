"""A threatened party on the whole stack: the police are asked, its data go, verify still holds."""

import json
from typing import Any
from uuid import uuid4

import pytest

from services.client import Client, Stack, wait_for
from services.play import COURT, fresh
from tests.e2e.running import RunningStack

pytestmark = pytest.mark.stack
DISTRICT_POLICE = "330681-PS-0001"
CANARY = "龘被威胁样"
KEYS = "keys/intake/vault/erased.txt"


def act(client: Client, path: str, body: Any, staff: str) -> Any:
    """A POST of a member of the staff."""
    headers = {"Idempotency-Key": uuid4().hex, "Acted-By": staff}
    answer = client.request("POST", "intake", path, json=body, headers=headers)
    assert answer.status_code < 300, answer.text
    return answer.json()


def test_a_threat_reaches_the_police_and_an_erasure_all_four_services(
    running: RunningStack, stack: Stack
) -> None:
    """checklist 1.12, 1.30: over Kafka, from the screen to the certificate."""
    court, police = stack.client(COURT), stack.client(DISTRICT_POLICE)
    document = fresh("court_pre-loan-between-friends.json", COURT, "（2026）浙0681民诉前调77001号")
    document["parties"][0]["name"] = CANARY
    case = court.post("intake", "/v1/referrals", document)
    id_ = case["case_id"]
    questions = court.get("intake", "/v1/screening-forms")["forms"][0]["questions"]
    answers = {question["code"]: "not_said" for question in questions}
    screen = {
        "party_ref": "p1",
        "form_version": 1,
        "answers": {**answers, "threatened_now": "yes"},
    }

    court.post("intake", f"/v1/cases/{id_}/screenings", screen)

    def asked() -> Any:
        (alert,) = court.get("intake", f"/v1/cases/{id_}/alerts")["items"]
        return alert if alert["state"] == "asked" else None

    alert = wait_for(asked, seconds=60, describe="the police to be asked")
    assert alert["asked"] == DISTRICT_POLICE

    def read() -> Any:
        path = f"/v1/alerts/{alert['alert_id']}?purpose=handling"
        answer = police.request("GET", "intake", path)
        return answer.json() if answer.status_code == 200 else None

    opened = wait_for(read, seconds=60, describe="the police to see whom to protect")
    assert opened["party"]["name"] == CANARY
    linkages = police.get("routing", "/v1/linkages", case_id=id_)["items"]
    police.post(
        "routing",
        f"/v1/linkages/{linkages[0]['linkage_id']}/answers",
        {"result": "done"},
        version='"1"',
    )
    proposal = {"party_ref": "p1", "ground": "unlawful"}
    erasure = act(court, f"/v1/cases/{id_}/erasures", proposal, "s-1")["erasure_id"]
    act(court, f"/v1/erasures/{erasure}/decisions", {"approved": True}, "s-2")

    def certified() -> Any:
        found = court.get("intake", f"/v1/erasures/{erasure}")
        return found if found["state"] == "certified" else None

    certificate = wait_for(certified, seconds=60, describe="all four services to obey")
    assert set(certificate["done"]) == {"intake", "routing", "mediation", "notification"}
    wait_for((running.home / KEYS).exists, describe="the keys to be destroyed")
    parties = court.get("intake", f"/v1/cases/{id_}/parties", purpose="handling")["parties"]
    assert parties[0]["name"] is None
    canaries = running.home / "canaries.txt"
    canaries.write_text(CANARY + "\n", encoding="utf-8")
    only = ("folds", "audit", "sequences", "canaries")
    done = running.command(
        "verify",
        "--json",
        "--canaries",
        str(canaries),
        *(part for name in only for part in ("--only", name)),
    )
    report = json.loads(done.stdout[done.stdout.index("{") :])
    assert done.returncode == 0, report
