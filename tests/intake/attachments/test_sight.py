"""Who sees a paper, on which basis, in which form, for how long (checklist 1.19; D-03, D-05)."""

import json
from datetime import timedelta
from typing import Any

import pytest

from intake.attachments import jobs, model
from intake.attachments.model import Viewer, goes_on, may_see
from tests.intake.attachments.handing_in import TEXT, Hand, a_photo, as_, sha256
from tests.intake.test_cases import a_case, party_token
from tests.intake.world import CENTRE, COURT, POLICE, Intake, referral


def viewer(organisation: str, *roles: str, holds: bool = False) -> Viewer:
    return Viewer(organisation, frozenset(roles), holds)


@pytest.mark.parametrize(
    ("who", "given_by", "given_as", "sensitive", "shared", "sees"),
    [
        (viewer(COURT, "source"), COURT, "source", True, (), True),
        (viewer(COURT), COURT, "source", False, (), True),
        (viewer(CENTRE, "handler"), COURT, "source", False, (), True),
        (viewer(CENTRE, "handler"), COURT, "source", True, (), False),
        (viewer(CENTRE, "handler"), COURT, "source", True, (CENTRE,), True),
        (viewer(COURT, "source"), CENTRE, "handler", False, (), False),
        (viewer(COURT, "source"), "party", "party", False, (), False),
        (viewer(COURT, "source", holds=True), "party", "party", False, (), True),
        (viewer(COURT, "source"), "party", "party", False, (COURT,), True),
        (viewer(POLICE, "linked"), COURT, "source", False, (), False),
        (viewer(POLICE, "linked"), COURT, "source", False, (POLICE,), True),
        (viewer(POLICE, "supervisor"), COURT, "source", False, (), False),
        (viewer(POLICE), COURT, "source", False, (POLICE,), False),
    ],
)
def test_holding_is_not_reading_and_a_sensitive_paper_needs_its_own_basis(
    who: Viewer, given_by: str, given_as: str, sensitive: bool, shared: tuple[str, ...], sees: bool
) -> None:
    found = may_see(
        who,
        given_by=given_by,
        given_as=given_as,
        sensitive=sensitive,
        shared_with=frozenset(shared),
    )

    assert found is sees


async def listed(intake: Intake, case_id: str, organisation: str) -> list[Any]:
    answer = await intake.http.get(
        f"/v1/cases/{case_id}/attachments?purpose=handling", headers=as_(organisation)
    )
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


@pytest.mark.postgres
async def test_a_party_hands_in_to_its_own_case_and_the_handler_sees_it(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    mine = Hand.of_party(intake, await party_token(intake, done["receipts"][0]))
    other = Hand.of_party(intake, await party_token(intake, done["receipts"][1]))

    given = await mine.give(TEXT, "聊天记录.txt")

    assert await listed(intake, done["case_id"], CENTRE) == ["聊天记录.txt"]
    assert await listed(intake, done["case_id"], COURT) == []
    path = f"/v1/party/attachments/{given['attachment_id']}"
    assert (await intake.http.get(path, headers=other.head)).status_code == 404
    assert (await mine.fetch(given["attachment_id"])).content == TEXT
    hand = Hand.of(intake, done["case_id"], CENTRE)
    assert (await hand.fetch(given["attachment_id"], purpose="handling")).content == TEXT
    court = Hand.of(intake, done["case_id"], COURT)
    refused = await court.fetch(given["attachment_id"], purpose="handling")
    assert refused.status_code == 404


@pytest.mark.postgres
async def test_a_sensitive_paper_is_seen_only_with_a_consent_that_can_be_withdrawn(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    head = await party_token(intake, done["receipts"][0])
    mine = Hand.of_party(intake, head)
    given = await mine.give(TEXT, "病历.txt", sensitive="health")
    path = f"/v1/party/attachments/{given['attachment_id']}/shares"

    before = await listed(intake, done["case_id"], CENTRE)
    consented = await intake.http.post(path, json={"organisation": CENTRE}, headers=head)
    after = await listed(intake, done["case_id"], CENTRE)
    ended = await intake.http.post(f"{path}/{CENTRE}/withdrawals", headers=head)
    again = await intake.http.post(f"{path}/{CENTRE}/withdrawals", headers=head)

    assert (before, after) == ([], ["病历.txt"])
    assert (consented.status_code, consented.json()["basis"]) == (201, "consent")
    assert ended.json() == again.json()
    assert await listed(intake, done["case_id"], CENTRE) == []


@pytest.mark.postgres
async def test_an_organisation_shares_by_consent_with_its_day_or_on_a_statute(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    hand = Hand.of(intake, done["case_id"])
    given = await hand.give(TEXT, "伤情.txt", sensitive="body")
    path = f"/v1/attachments/{given['attachment_id']}/shares"
    party = done["receipts"][0]["party_id"]

    async def share(**body: Any) -> int:
        answer = await intake.http.post(path, json={"organisation": CENTRE, **body}, headers=as_())
        return answer.status_code

    assert await share() == 422
    assert await share(party_id=party) == 422
    assert await share(basis="我觉得可以") == 422
    assert await share(party_id=party, basis="个人信息保护法 13") == 422
    assert await listed(intake, done["case_id"], CENTRE) == []
    assert await share(basis="个人信息保护法 13") == 201
    assert await listed(intake, done["case_id"], CENTRE) == ["伤情.txt"]


@pytest.mark.postgres
async def test_a_link_is_short_and_for_its_caller_alone_and_every_opening_is_in_the_parties_log(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    hand = Hand.of(intake, done["case_id"])
    given = await hand.give(TEXT, "借条.txt")
    path = f"/v1/attachments/{given['attachment_id']}/downloads"
    body = {"purpose": "handling"}

    without = await intake.http.post(path, json={}, headers=as_(CENTRE))
    link = (await intake.http.post(path, json=body, headers=as_(CENTRE))).json()["url"]
    own = await intake.http.get(link, headers=as_(CENTRE))
    others = await intake.http.get(link, headers=as_(COURT))
    nobody = await intake.http.get(link)
    bent = await intake.http.get(link[:-4] + "AAAA", headers=as_(CENTRE))

    assert without.status_code == 422
    assert (own.status_code, own.content) == (200, TEXT)
    assert own.headers["content-disposition"].startswith("attachment;")
    assert own.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert (others.status_code, nobody.status_code, bent.status_code) == (404, 401, 404)
    assert given["attachment_id"] not in link
    head = await party_token(intake, done["receipts"][0])
    log = (await intake.http.get("/v1/party/access-log", headers=head)).json()["items"]
    assert [(e["what"], e["organisation"], e["purpose"]) for e in log] == [
        ("attachment.read", CENTRE, "handling")
    ]
    intake.runtime.clock.offset = timedelta(seconds=300)
    assert (await intake.http.get(link, headers=as_(CENTRE))).status_code == 404


@pytest.mark.postgres
async def test_a_photo_goes_out_without_metadata_and_the_original_for_verification_alone(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    photo = a_photo()
    mine = Hand.of_party(intake, await party_token(intake, done["receipts"][0]))
    id_ = (await mine.give(photo, "现场.jpg"))["attachment_id"]
    hand = Hand.of(intake, done["case_id"], CENTRE)

    copy = await hand.fetch(id_, purpose="handling")
    preview = await hand.fetch(id_, purpose="handling", form="preview")
    original = await hand.fetch(id_, purpose="handling", form="original")
    verified = await hand.fetch(id_, purpose="verification", form="original")

    assert b"CAMERA-CANARY" not in copy.content + preview.content
    assert (copy.status_code, preview.status_code, original.status_code) == (200, 200, 409)
    assert sha256(verified.content) == sha256(photo)
    assert (await mine.fetch(id_)).content == photo


@pytest.mark.postgres
async def test_a_paper_that_the_referral_named_is_known_when_it_arrives(intake: Intake) -> None:
    document = referral("R1")
    document["documents"] = [
        {"name": "借条.txt", "media_type": "text/plain", "size": len(TEXT), "sha256": sha256(TEXT)}
    ]
    done = (await intake.post("/v1/referrals", document)).json()
    hand = Hand.of(intake, done["case_id"])
    path = f"/v1/cases/{done['case_id']}"

    before = (await intake.get(path)).json()["documents"]
    given = await hand.give(TEXT, "借条.txt")
    other = await hand.give(TEXT * 2, "别的.txt")
    after = (await intake.get(path)).json()["documents"]

    assert (given["of_referral"], other["of_referral"]) == (True, False)
    assert before[0]["arrived_at"] is None
    assert after[0]["arrived_at"] == given["checked_at"]


@pytest.mark.postgres
async def test_a_harmful_or_refused_paper_opens_to_nobody(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])

    refused = await hand.give(b"MZ\0", "a.txt")

    assert (refused["state"], refused["reason"]) == ("refused", "content_differs_from_name")
    gone = await hand.fetch(refused["attachment_id"], purpose="handling")
    assert gone.status_code == 410
    announced = await hand.announce(TEXT, "b.txt")
    waiting = await hand.fetch(announced.json()["attachment_id"], purpose="handling")
    assert waiting.status_code == 409


def test_a_class_of_retention_counts_years_from_the_closing_of_the_case() -> None:
    from datetime import UTC, datetime

    closed = datetime(2028, 2, 29, 1, tzinfo=UTC)

    assert goes_on("short", closed) == datetime(2038, 2, 28, 1, tzinfo=UTC)
    assert goes_on("permanent", closed) is None
    assert goes_on("long", None) is None
    assert all(row["source"] for row in model.site()["retention"].values())


@pytest.mark.postgres
async def test_a_paper_of_a_closed_case_goes_when_its_term_is_over_and_not_before(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    hand = Hand.of(intake, done["case_id"])
    short = await hand.give(TEXT, "a.txt", retention="short")
    await hand.give(TEXT, "b.txt", retention="permanent")
    intake.runtime.clock.offset = timedelta(days=365 * 11)
    assert await jobs.clear(intake.runtime) == 0  # the case is open
    intake.runtime.clock.offset = timedelta(0)
    await story.ended("completed", "agreed_written")

    intake.runtime.clock.offset = timedelta(days=3650)
    early = await jobs.clear(intake.runtime)
    intake.runtime.clock.offset = timedelta(days=3655)
    late = await jobs.clear(intake.runtime)

    assert (early, late) == (0, 1)
    row = await intake.runtime.pool.fetchrow(
        "SELECT state, wrapped_key, name, sha256 FROM attachment WHERE attachment_id = $1",
        short["attachment_id"],
    )
    assert (row["state"], row["wrapped_key"], row["name"]) == ("deleted", None, None)
    assert row["sha256"] == sha256(TEXT)


@pytest.mark.postgres
async def test_no_name_of_a_file_is_outside_what_is_sealed(
    intake: Intake, capfd: pytest.CaptureFixture[str]
) -> None:
    """checklist 1.11: file names carry nothing into rows, audit or logs."""
    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    await hand.give(TEXT, "CANARY张三病历.txt")

    rows = [
        await intake.runtime.pool.fetch(f"SELECT t::text FROM {name} t")
        for name in ("attachment", "attachment_part", "audit_entry", "outbox", "job")
    ]

    assert "CANARY" not in json.dumps([str(row) for row in rows])
    assert "CANARY" not in capfd.readouterr().out


@pytest.mark.postgres
async def test_an_erasure_takes_the_papers_of_the_party_or_of_the_whole_case(
    intake: Intake,
) -> None:
    """checklist 1.30"""
    from uuid import UUID

    from intake.attachments import repository

    done, _ = await a_case(intake)
    mine = Hand.of_party(intake, await party_token(intake, done["receipts"][0]))
    own = await mine.give(TEXT, "a.txt")
    court = await Hand.of(intake, done["case_id"]).give(TEXT, "b.txt")
    case_id, party_id = UUID(done["case_id"]), UUID(done["receipts"][0]["party_id"])

    async def states() -> dict[str, str]:
        rows = await intake.runtime.pool.fetch("SELECT attachment_id, state FROM attachment")
        return {str(row["attachment_id"]): row["state"] for row in rows}

    async with intake.runtime.unit_of_work() as uow:
        first = await repository.shred(uow, case_id, [party_id])
    after = await states()
    async with intake.runtime.unit_of_work() as uow:
        second = await repository.shred(uow, case_id, None)

    assert (len(first), len(second)) == (1, 1)
    assert after == {own["attachment_id"]: "deleted", court["attachment_id"]: "unscanned"}
    assert set((await states()).values()) == {"deleted"}
