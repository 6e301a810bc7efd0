"""The case file as one PDF and as a bundle; the timeline and its filters (checklist 1.18)."""

import io
import json
import zipfile
from datetime import timedelta
from typing import Any

import pytest

from intake.exports import making
from intake.exports.collecting import unprotected
from services.messaging import failpoints
from services.messaging.jobs import run_due_jobs
from tests.intake.attachments.handing_in import TEXT, Hand, a_photo, as_, sha256
from tests.intake.test_cases import a_case, party_token
from tests.intake.tracking.test_receipts import text_of
from tests.intake.world import CENTRE, COURT, POLICE, Intake

pytestmark = pytest.mark.postgres


async def export(intake: Intake, case_id: str, format_: str, organisation: str = COURT) -> Any:
    """Ask, make, read."""
    asked = await intake.http.post(
        f"/v1/cases/{case_id}/exports",
        json={"purpose": "handling", "format": format_},
        headers={**as_(organisation), **intake.key()},
    )
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting"), asked.text
    await run_due_jobs(intake.runtime)
    path = asked.headers["location"]
    return (await intake.http.get(path, headers=as_(organisation))).json()


async def test_a_bundle_holds_file_timeline_and_papers_and_proves_them_by_hash(
    intake: Intake,
) -> None:
    """checklist 1.18, 1.19"""
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    court = Hand.of(intake, done["case_id"])
    given = await court.give(TEXT, "借条.txt")
    photo = await court.give(a_photo(), "现场.jpg")
    await court.give(TEXT * 2, "病历.txt", sensitive="health")

    made = await export(intake, done["case_id"], "bundle", CENTRE)
    got = await intake.http.get(made["url"], headers=as_(CENTRE))

    assert (made["state"], made["progress_percent"]) == ("ready", 100)
    assert sha256(got.content) == made["sha256"]
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        for member in manifest["members"]:
            assert sha256(archive.read(member["name"])) == member["sha256"]
        timeline = [json.loads(line) for line in archive.read("timeline.ndjson").splitlines()]
        parties = json.loads(archive.read("parties.json"))
        papers = json.loads(archive.read("papers.json"))
        copy = archive.read("papers/0002.jpg")
    assert [p["sha256"] for p in papers] == [given["sha256"], photo["sha256"]]
    assert b"CAMERA-CANARY" not in copy
    assert all(party["name"] for party in parties)
    recorded = [entry["recorded_at"] for entry in timeline]
    assert recorded == sorted(recorded)
    assert {"type", "occurred_at", "recorded_at", "organisation", "words"} <= set(timeline[0])


async def test_the_pdf_says_what_happened_when_it_was_recorded_and_by_whom(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    given = await Hand.of(intake, done["case_id"]).give(TEXT, "借条.txt")

    made = await export(intake, done["case_id"], "pdf")
    words = text_of((await intake.http.get(made["url"], headers=as_())).content)

    plain = "".join(words.split())
    for shown in (done["case_number"], "机构接收", "分派给机构", "首接责任", "法释〔2021〕23号12"):
        assert shown in plain
    assert given["sha256"] in plain


async def test_an_export_is_for_whoever_asked_and_is_in_the_parties_log(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    path = f"/v1/cases/{done['case_id']}/exports"
    body = {"purpose": "handling", "format": "pdf"}

    stranger = await intake.http.post(path, json=body, headers={**as_(POLICE), **intake.key()})
    aimless = await intake.http.post(
        path, json={"format": "pdf"}, headers={**as_(), **intake.key()}
    )
    made = await export(intake, done["case_id"], "pdf", CENTRE)
    for where in (f"/v1/exports/{made['export_id']}", made["url"]):
        assert (await intake.http.get(where, headers=as_(COURT))).status_code == 404

    assert (stranger.status_code, aimless.status_code) == (404, 422)
    head = await party_token(intake, done["receipts"][0])
    log = (await intake.http.get("/v1/party/access-log", headers=head)).json()["items"]
    assert {e["what"] for e in log} == {"case.exported", "parties.read"}
    assert {e["organisation"] for e in log} == {CENTRE}
    intake.runtime.clock.offset = timedelta(hours=24)
    assert await making.clear(intake.runtime) == 1
    over = (await intake.http.get(f"/v1/exports/{made['export_id']}", headers=as_(CENTRE))).json()
    assert (over["state"], over["url"]) == ("over", None)


async def test_an_export_whose_maker_dies_is_made_again(intake: Intake) -> None:
    done, _ = await a_case(intake)
    failpoints.arm("export.before_ready", 1, failpoints.MODES["raise"])

    first = await export(intake, done["case_id"], "bundle")
    failpoints.disarm()
    await intake.runtime.pool.execute("UPDATE job SET run_after = now()")
    await run_due_jobs(intake.runtime)
    again = await intake.http.get(f"/v1/exports/{first['export_id']}", headers=as_())

    assert (first["state"], again.json()["state"]) == ("waiting", "ready")


async def test_who_has_lost_its_part_gets_no_copy_that_it_asked_for_before(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    path = f"/v1/cases/{done['case_id']}/exports"
    body = {"purpose": "handling", "format": "bundle"}
    asked = await intake.http.post(path, json=body, headers={**as_(CENTRE), **intake.key()})
    assert asked.status_code == 202
    await intake.runtime.pool.execute(
        "UPDATE participation SET left_at = now() WHERE organisation = $1", CENTRE
    )

    await run_due_jobs(intake.runtime)

    state = await intake.runtime.pool.fetchrow("SELECT state, reason FROM case_export")
    assert tuple(state) == ("failed", "not_yours")


def test_a_copy_holds_nothing_of_a_party_that_is_protected() -> None:
    party = {
        "name": "样甲",
        "address": "样例路 1 号",
        "phone": "19900000001",
        "identity": {"number": "1"},
        "details": {"work": "样例"},
    }
    shown = unprotected({**party, "protected": {"address": True, "phone": False}})
    plain = unprotected({**party, "protected": {"address": False}})

    assert shown["name"] == "样甲"
    assert (shown["address"], shown["identity"], shown["details"]) == (None, None, None)
    assert shown["phone"] == "19900000001"
    assert plain["address"] == "样例路 1 号"


# -- the timeline's filters


async def test_the_timeline_is_filtered_by_kind_organisation_and_either_time(
    intake: Intake,
) -> None:
    """checklist 1.18: what happened, when it happened, when recorded, by which organisation."""
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    path = f"/v1/cases/{done['case_id']}/timeline"

    async def types(query: str) -> list[str]:
        answer = await intake.get(f"{path}?{query}")
        assert answer.status_code == 200, answer.text
        return [
            e["type"].split(".")[1] + "." + e["type"].split(".")[2] for e in answer.json()["items"]
        ]

    everything = (await intake.get(path)).json()["items"]
    registered = next(e for e in everything if e["type"] == "liandiao.referral.received.v1")
    assert registered["occurred_at"] != registered["recorded_at"]
    assert await types("kind=assignment.accepted") == ["assignment.accepted"]
    assert set(await types("kind=assignment")) == {"assignment.accepted", "assignment.offered"}
    assert set(await types(f"organisation={COURT}")) >= {"case.registered", "referral.received"}
    assert "case.registered" not in await types(f"organisation={CENTRE}")
    at = registered["occurred_at"]
    # What was received before it was recorded is found by the time that is asked for.
    assert "referral.received" in await types(f"from={at}&by=occurred&kind=referral")
    just_after = registered["recorded_at"]
    assert await types(f"to={at}&by=occurred") == []
    assert "referral.received" not in await types(f"to={just_after}&by=recorded")
    assert (await intake.get(f"{path}?by=guessed")).status_code == 422
    assert (await intake.get(f"{path}?from=2026-11-24T00:00:00")).status_code == 422
