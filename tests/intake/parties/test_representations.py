"""Representatives by REST: named, added, revoked at once; objectors; thirty parties."""

from typing import Any
from uuid import UUID

import pytest

from tests.intake.test_cases import SHEET, Story
from tests.intake.world import CENTRE, COURT, POLICE, Intake, bearer, sample, token

pytestmark = pytest.mark.postgres
WRITE = ("party:write", "party:read", "case:read")
LAWYER = {
    "party_ref": "p1",
    "representative": {"name": "龘律师样", "phone": "19900000999"},
    "relation": "lawyer",
    "authority": "special",
    "paper_sha256": "a" * 64,
}


async def post(intake: Intake, path: str, body: Any, by: str = COURT, **headers: str) -> Any:
    head = {**bearer(token(by, *WRITE)), **intake.key(), **headers}
    return await intake.http.post(path, json=body, headers=head)


async def appointed(intake: Intake, case_id: str, **body: Any) -> dict[str, Any]:
    answer = await post(intake, f"/v1/cases/{case_id}/representations", {**LAWYER, **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(intake: Intake, case_id: str, purpose: str = "") -> list[dict[str, Any]]:
    path = f"/v1/cases/{case_id}/representations" + (f"?purpose={purpose}" if purpose else "")
    answer = await intake.get(path, COURT, *WRITE)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def party_head(intake: Intake, case: dict[str, Any], number: int = 0) -> dict[str, str]:
    receipt = case["receipts"][number]
    answer = await intake.http.post(
        f"/v1/receipts/{receipt['number']}/tokens", json={"secret": receipt["secret"]}
    )
    return bearer(answer.json()["access_token"])


async def test_who_is_named_in_the_referral_acts_and_a_correction_replaces_him(
    intake: Intake,
) -> None:
    """checklist 1.10."""
    document = sample("police_civil-divorce")
    person = {"name": "代理样", "phone": "19900000777", "relation": "spouse"}
    document["parties"][0]["representative"] = {**person, "authority": "general"}
    case = (await intake.post("/v1/referrals", document, POLICE)).json()
    first = (await intake.get(f"/v1/cases/{case['case_id']}/representations", POLICE)).json()
    (standing,) = [r for r in first["items"] if r["party_ref"] == "p1"]
    assert (standing["authority"], standing["person"]) == ("general", None)
    assert standing["acts"]["waive"] == {"allowed": False, "warning": None}

    changed = await intake.post(
        f"/v1/referrals/{case['referral_id']}/corrections",
        {"reason": "换人", "changes": [{"pointer": "/parties/0/representative", "value": None}]},
        POLICE,
        **intake.key(),
        **{"If-Match": '"1"'},
    )

    assert changed.status_code == 201, changed.text
    after = (await intake.get(f"/v1/cases/{case['case_id']}/representations", POLICE)).json()
    (gone,) = [r for r in after["items"] if r["party_ref"] == "p1"]
    assert gone["revoked_by"] == "corrected"
    assert not any(act["allowed"] for act in gone["acts"].values())


async def test_a_representative_is_told_while_he_acts_and_to_nobody_once_revoked(
    intake: Intake,
) -> None:
    """checklist 1.10: revocation effective at once, in every place that shows the party."""
    case = await intake.registered()
    story = Story(intake, case["case_id"])
    await story.offered()
    await story.accepted()
    made = await appointed(intake, case["case_id"])
    path = f"/v1/cases/{case['case_id']}/party-sheet?assignment_id={story.assignment_id}"
    party_id = case["receipts"][0]["party_id"]
    contact = f"/v1/contacts?purpose=notice&party_id={party_id}"
    mediation = bearer(token(None, *SHEET, connection="svc-mediation"))
    notification = bearer(token(None, "contact:read", connection="svc-notification"))

    async def told() -> list[Any]:
        sheet = (await intake.http.get(path, headers=mediation)).json()
        reached = (await intake.http.get(contact, headers=notification)).json()["items"][0]
        file = (await intake.get(f"/v1/cases/{case['case_id']}/parties?purpose=handling")).json()
        return [sheet["parties"][0]["representatives"], reached["representative"],
                file["parties"][0]["representatives"]]  # fmt: skip

    before = await told()
    assert before[0][0]["name"] == before[1]["name"] == before[2][0]["name"] == "龘律师样"
    done = await intake.http.post(
        f"/v1/representations/{made['representation_id']}/revocations",
        json={},
        headers=bearer(token(CENTRE, *WRITE)),
    )

    assert done.status_code == 201, done.text
    assert await told() == [[], None, []]
    again = await post(intake, f"/v1/representations/{made['representation_id']}/revocations", {})
    assert again.json()["revoked_at"] == done.json()["revoked_at"]
    events = [e for e in await intake.events(case["case_id"]) if e["type"].endswith("changed.v1")]
    assert [e["changed"] for e in events] == [["representation"], ["representation"]]


async def test_names_are_told_for_a_purpose_and_the_party_sees_who_asked(intake: Intake) -> None:
    """checklist 1.11: every reading needs a purpose and stands in the party's access log."""
    case = await intake.registered()
    await appointed(intake, case["case_id"])

    assert (await listed(intake, case["case_id"]))[0]["person"] is None
    found = (await listed(intake, case["case_id"], "verification"))[0]["person"]
    log = await intake.http.get("/v1/party/access-log", headers=await party_head(intake, case))

    assert found == {"name": "龘律师样", "phone": "19900000999"}
    assert [(e["what"], e["purpose"]) for e in log.json()["items"]] == [
        ("representations.read", "verification")
    ]


async def test_the_party_takes_back_what_it_gave_by_one_call_and_keeps_its_guardian(
    intake: Intake,
) -> None:
    """checklist 1.10, 1.24."""
    case = await intake.registered()
    lawyer = await appointed(intake, case["case_id"])
    guardian = await appointed(
        intake, case["case_id"], relation="guardian", authority="statutory", paper_sha256=None
    )
    head = await party_head(intake, case)
    own = (await intake.http.get("/v1/party/representations", headers=head)).json()["items"]
    assert {item["person"]["name"] for item in own} == {"龘律师样"}
    way = "/v1/party/representations"

    done = await intake.http.post(f"{way}/{lawyer['representation_id']}/revocations", headers=head)
    kept = await intake.http.post(
        f"{way}/{guardian['representation_id']}/revocations", headers=head
    )
    other = await intake.http.post(
        f"{way}/{lawyer['representation_id']}/revocations",
        headers=await party_head(intake, case, 1),
    )

    assert (done.status_code, done.json()["revoked_by"]) == (201, "party")
    assert (kept.status_code, other.status_code) == (409, 404)
    assert guardian["acts"]["waive"]["warning"]["code"] == (
        "guardian_acts_for_ward_only_for_its_good"
    )


@pytest.mark.parametrize(
    ("body", "pointer", "rule"),
    [
        ({"authority": "general", "scopes": ["sign"]}, "/scopes", "scope_needs_special_authority"),
        ({"representative": None}, "/representative", "representative_required"),
        ({"party_ref": "p9"}, "/party_ref", "party_unknown"),
        (
            {"representative": None, "representative_ref": "p2"},
            "/representative_ref",
            "representative_of_other_side",
        ),
        (
            {"valid_from": "2026-01-02T00:00:00Z", "valid_until": "2026-01-02T00:00:00Z"},
            "/valid_until",
            "ends_before_it_begins",
        ),
        (
            {"representative": {"name": "样", "id": {"type": "resident_id", "number": "1"}}},
            "/representative/id/number",
            "id_format",
        ),
    ],
)
async def test_what_cannot_be_is_refused_with_place_and_rule(
    intake: Intake, body: dict[str, Any], pointer: str, rule: str
) -> None:
    case = await intake.registered()

    answer = await post(intake, f"/v1/cases/{case['case_id']}/representations", {**LAWYER, **body})

    assert answer.status_code == 422, answer.text
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [(pointer, rule)]


def wages(workers: int, reference: str = "（2026）浙0681民诉前调7001号") -> dict[str, Any]:
    """So many workers against one company, the first elected by all others."""
    document = sample("labor-wage")
    document["source"]["reference"] = reference
    worker = next(p for p in document["parties"] if p["role"] == "applicant")
    company = next(p for p in document["parties"] if p["role"] == "respondent")
    refs = [f"p{n}" for n in range(1, workers + 1)]
    document["parties"] = [
        {
            **{k: v for k, v in worker.items() if k not in ("represented_by", "id")},
            "ref": ref,
            "name": f"工人样{ref}",
            **({"represented_by": "p1"} if ref != "p1" else {}),
        }
        for ref in refs
    ] + [{**company, "ref": f"p{workers + 1}"}]
    document["legal_context"]["representatives"] = ["p1"]
    document["legal_context"]["per_worker_fen"] = {ref: 100_00 for ref in refs}
    return document


async def test_thirty_parties_stand_in_one_case_each_with_its_mandate(intake: Intake) -> None:
    """checklist 1.10, 1.15: thirty parties; a mandate per applicant."""
    document = wages(29)
    organisation = document["source"]["organisation"]

    case = await intake.post("/v1/referrals", document, organisation)

    assert case.status_code == 201, case.text
    rows = await intake.runtime.pool.fetch("SELECT count(*) FROM party")
    mandates = (
        await intake.get(f"/v1/cases/{case.json()['case_id']}/representations", organisation)
    ).json()["items"]
    assert rows[0][0] == 30
    assert len(case.json()["receipts"]) == 30
    elected = [m for m in mandates if m["representative_party_id"]]
    first = case.json()["receipts"][0]["party_id"]
    assert {m["representative_party_id"] for m in elected} == {first}
    assert len({m["party_id"] for m in elected}) == 28


async def test_an_objector_speaks_for_itself_or_goes_on_in_a_case_of_its_own(
    intake: Intake,
) -> None:
    """checklist 1.15: an objector stays or becomes his own case."""
    document = wages(12)
    source = document["source"]["organisation"]
    case = (await intake.post("/v1/referrals", document, source)).json()
    path = f"/v1/cases/{case['case_id']}/objectors"

    stays = await post(intake, path, {"party_ref": "p3"}, source)
    twice = await post(intake, path, {"party_ref": "p3"}, source)
    key = intake.key()
    goes = await post(intake, path, {"party_ref": "p4", "own_case": True}, source, **key)
    again = await post(intake, path, {"party_ref": "p4", "own_case": True}, source, **key)

    assert (stays.status_code, stays.json()["own_case_id"]) == (201, None)
    assert (twice.status_code, twice.json()["errors"][0]["code"]) == (422, "not_represented")
    assert goes.status_code == again.status_code == 201, goes.text
    assert goes.json()["own_case_id"] == again.json()["own_case_id"]
    own = (await intake.get(f"/v1/cases/{goes.json()['own_case_id']}", source)).json()
    assert [p["role"] for p in own["parties"]] == ["applicant", "respondent"]
    assert own["claim_fen"] == 100_00
    assert own["request_made_at"] == case["request_made_at"]
    assert own["reference"] == document["source"]["reference"] + "-p4"
    old = (await intake.get(f"/v1/cases/{case['case_id']}", source)).json()
    assert old["state"] == "open"
    assert [p["ref"] for p in old["parties"] if p["left_at"]] == ["p4"]
    types = [e["type"] for e in await intake.events(case["case_id"])]
    assert types[-1] == "liandiao.party.left.v1"


async def test_more_than_five_cannot_speak_for_one_side(intake: Intake) -> None:
    """checklist 1.15 (R-37)."""
    document = wages(12)
    source = document["source"]["organisation"]
    case = (await intake.post("/v1/referrals", document, source)).json()
    elected = {
        "representative": None,
        "relation": "group_member",
        "authority": "elected",
        "paper_sha256": None,
    }
    path = f"/v1/cases/{case['case_id']}/representations"

    answers = [
        await post(
            intake,
            path,
            {**LAWYER, **elected, "party_ref": "p12", "representative_ref": f"p{n}"},
            source,
        )
        for n in range(2, 7)
    ]

    assert [a.status_code for a in answers] == [201, 201, 201, 201, 422]
    assert answers[-1].json()["errors"][0]["code"] == "too_many_speakers"


async def test_the_database_itself_keeps_representatives_shut(intake: Intake) -> None:
    """checklist 1.11: row-level security beside the gate."""
    case = await intake.registered()
    await appointed(intake, case["case_id"])

    async with intake.runtime.unit_of_work(organisation="330681-CM-0008") as uow:
        hidden = await uow.db.fetchval("SELECT count(*) FROM representation")
    async with intake.runtime.unit_of_work(organisation=COURT) as uow:
        seen = await uow.db.fetchval("SELECT count(*) FROM representation")
        await uow.db.execute("SELECT set_config('liandiao.organisation', '', true)")
        other = UUID(case["receipts"][1]["party_id"])
        await uow.db.execute("SELECT set_config('liandiao.party', $1, true)", str(other))
        of_another = await uow.db.fetchval("SELECT count(*) FROM representation")

    assert (hidden, seen, of_another) == (0, 1, 0)


async def test_a_stranger_learns_nothing_of_representatives(intake: Intake) -> None:
    case = await intake.registered()
    made = await appointed(intake, case["case_id"])
    stranger = "330681-CM-0008"

    answers = [
        await intake.get(f"/v1/cases/{case['case_id']}/representations", stranger, *WRITE),
        await post(intake, f"/v1/cases/{case['case_id']}/representations", LAWYER, stranger),
        await post(
            intake, f"/v1/representations/{made['representation_id']}/revocations", {}, stranger
        ),
        await post(intake, f"/v1/cases/{case['case_id']}/objectors", {"party_ref": "p1"}, stranger),
    ]

    assert [a.status_code for a in answers] == [404, 404, 404, 404]


async def test_a_replayed_request_names_nobody_twice(intake: Intake) -> None:
    case = await intake.registered()
    key = intake.key()
    path = f"/v1/cases/{case['case_id']}/representations"

    one, two = [await post(intake, path, LAWYER, **key) for _ in range(2)]

    assert one.json()["representation_id"] == two.json()["representation_id"]
    assert len(await listed(intake, case["case_id"])) == 1
