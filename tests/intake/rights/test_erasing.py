"""Erasure at intake: two people, holds and terms, keys destroyed for good, certificates."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from intake.keys import keys_of
from intake.rights import erasing, keeping
from intake.vault import Erased
from services.events.intake import ErasureDone
from services.messaging.jobs import run_due_jobs
from tests.intake.parties.test_representations import LAWYER, party_head, post
from tests.intake.rights.test_rights import act
from tests.intake.safety.test_screening import _dump, screened
from tests.intake.world import COURT, Intake, referral

pytestmark = pytest.mark.postgres
CANARY = "龘样原告"


async def whole_case(intake: Intake, reference: str = "R-erase") -> dict[str, Any]:
    """A case in which everything of a party stands that intake keeps."""
    document = referral(reference)
    document["parties"][0] |= {"name": CANARY, "address": "龘样路1号", "phone": "19900000456"}
    case: dict[str, Any] = (await intake.post("/v1/referrals", document)).json()
    id_ = case["case_id"]
    await post(intake, f"/v1/cases/{id_}/representations", LAWYER)
    await screened(intake, id_, threatened_now="yes", phone_seen_by_others="yes")
    wish = {"member": "phone", "value": "19900000888", "reason": "龘换号"}
    head = await party_head(intake, case)
    await intake.http.post("/v1/party/correction-requests", json=wish, headers=head)
    await intake.post(
        f"/v1/referrals/{case['referral_id']}/corrections",
        {"reason": "龘错字", "changes": [{"pointer": "/title", "value": "借款"}]},
        **intake.key(),
        **{"If-Match": '"1"'},
    )
    return case


async def closed(intake: Intake, case: dict[str, Any]) -> None:
    """Both sides leave: the case is over."""
    for ref in ("p1", "p2"):
        await act(intake, f"/v1/cases/{case['case_id']}/departures", {"party_ref": ref})
    async with intake.runtime.unit_of_work() as uow:
        from intake.handlers import close_case

        await close_case(UUID(case["case_id"]), "withdrawn", uow.now, uow)


async def proposed(intake: Intake, case_id: str, **body: Any) -> str:
    answer = await act(intake, f"/v1/cases/{case_id}/erasures", body, COURT, **{"Acted-By": "s-1"})
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["erasure_id"]
    return id_


async def decided(intake: Intake, erasure_id: str, staff: str = "s-2", **body: Any) -> Any:
    return await act(
        intake,
        f"/v1/erasures/{erasure_id}/decisions",
        {"approved": True, **body},
        COURT,
        **{"Acted-By": staff},
    )


async def obeyed(intake: Intake, case_id: str, erasure_id: str) -> None:
    """The other three services say that they have obeyed."""
    for source in ("routing", "mediation", "notification"):
        async with intake.runtime.unit_of_work() as uow:
            event = ErasureDone(
                case_id=UUID(case_id), erasure_id=UUID(erasure_id), removed=1, done_at=uow.now
            )
            received = intake._received(event, 1, 1, None, uow.now)
            envelope = received.envelope._replace(source=f"/{source}")
            await erasing.hear_done(replace(received, envelope=envelope), uow)


async def test_a_partys_data_go_by_two_people_and_the_others_stay(intake: Intake) -> None:
    """checklist 1.30: by ground, in an open case too when it was never lawful (PIPL 47)."""
    case = await whole_case(intake)
    id_ = case["case_id"]
    party = await party_head(intake, case)
    erasure = await proposed(intake, id_, party_ref="p1", ground="unlawful")
    alone = await decided(intake, erasure, "s-1")
    assert alone.json()["errors"][0]["code"] == "second_person_required"

    done = await decided(intake, erasure)

    assert done.status_code == 201, done.text
    assert done.json()["state"] == "erased"
    file = (await intake.get(f"/v1/cases/{id_}/parties?purpose=handling")).json()["parties"]
    assert (file[0]["name"], file[0]["identity"], file[0]["phone"]) == (None, None, None)
    assert file[1]["name"]
    document = (await intake.get(f"/v1/referrals/{case['referral_id']}?purpose=handling")).json()[
        "document"
    ]
    assert document["parties"][0]["name"] == "（已删除）"
    assert document["parties"][1]["name"] == file[1]["name"]
    (event,) = [e for e in await intake.events(id_) if e["type"] == "liandiao.case.erased.v1"]
    assert (event["whole"], event["parties"]) == (False, [case["receipts"][0]["party_id"]])
    receipt = case["receipts"][0]
    again = await intake.http.post(
        f"/v1/receipts/{receipt['number']}/tokens", json={"secret": receipt["secret"]}
    )
    assert again.status_code == 401
    copy = (await intake.http.post("/v1/party/copies", headers=party)).json()
    assert copy["party"]["name"] is None
    rows = await _keys(intake)
    assert [row["name"] for row in rows if row["party_id"] == UUID(receipt["party_id"])] == [b""]


async def _keys(intake: Intake, table: str = "party_vault") -> list[asyncpg.Record]:
    db = await asyncpg.connect(intake.superuser_url)
    try:
        rows: list[asyncpg.Record] = await db.fetch(f"SELECT * FROM {table} ORDER BY party_id")
        return rows
    finally:
        await db.close()


async def test_a_restored_backup_does_not_bring_an_erased_key_back(
    intake: Intake, tmp_path: Path
) -> None:
    """checklist 1.30: the keys are remembered as destroyed beside the database, not in it."""
    case = await whole_case(intake)
    before = {row["party_id"]: row for row in await _keys(intake)}
    erasure = await proposed(intake, case["case_id"], ground="unlawful")
    await decided(intake, erasure)
    keys = keys_of(intake.runtime)
    row = before[UUID(case["receipts"][0]["party_id"])]
    sealed = (row["party_id"], row["kek_id"], row["wrapped_key"], {"name": row["name"]})
    assert keys.vault.open("party_vault", *sealed)["name"] == CANARY  # until the job has run

    while await run_due_jobs(intake.runtime):
        pass

    with pytest.raises(Erased):
        keys.vault.open("party_vault", *sealed)
    # Another process, started after the restore, knows it too.
    from intake.vault import FileKeyProvider, Vault

    fresh = Vault(FileKeyProvider(tmp_path / "keys" / "intake" / "vault"))
    with pytest.raises(Erased):
        fresh.open("party_vault", *sealed)


async def test_the_whole_file_goes_and_figures_and_the_limitation_receipt_stay(
    intake: Intake,
) -> None:
    """checklist 1.30: anonymised, certified by all four; limitation kept by its own class."""
    case = await whole_case(intake)
    id_ = case["case_id"]
    await closed(intake, case)
    early = await decided(intake, await proposed(intake, id_, ground="purpose_achieved"))
    assert early.json()["errors"][0]["code"] == "must_be_kept"
    erasure = await proposed(intake, id_, ground="unlawful")

    done = await decided(intake, erasure)

    assert done.status_code == 201, done.text
    text = await _dump(intake)
    assert CANARY not in text
    gone = await intake.get(f"/v1/referrals/{case['referral_id']}?purpose=handling")
    assert gone.status_code == 410
    kept = await intake.get(f"/v1/cases/{id_}")
    assert (kept.json()["state"], kept.json()["outcome"]) == ("closed", "withdrawn")
    assert len(kept.json()["parties"]) == 2
    (limitation,) = await _keys(intake, "limitation_record")
    opened = keys_of(intake.runtime).vault.open(
        "limitation_record",
        limitation["party_id"],
        limitation["kek_id"],
        limitation["wrapped_key"],
        {"person": limitation["person"]},
    )
    assert opened["person"]["name"] == CANARY
    assert await keeping.sweep(intake.runtime) == 0
    await obeyed(intake, id_, erasure)
    certificate = (await intake.get(f"/v1/erasures/{erasure}", COURT, "case:read")).json()
    assert certificate["state"] == "certified"
    assert set(certificate["done"]) == {"intake", "routing", "mediation", "notification"}
    assert len(certificate["sha256"]) == 64
    assert certificate["sources"]
    # Three years later the proof is not needed any more.
    intake.runtime.clock.offset = timedelta(days=3 * 366 + 10)
    assert await erasing.sweep_limitation(intake.runtime) == 1
    assert await _keys(intake, "limitation_record") == []


async def test_a_hold_bars_every_ground_until_its_body_lifts_it(intake: Intake) -> None:
    """checklist 1.30: legal hold (D-17)."""
    case = await intake.registered()
    id_ = case["case_id"]
    hold = await act(intake, f"/v1/cases/{id_}/holds", {"ground": "litigation"})
    erasure = await proposed(intake, id_, party_ref="p1", ground="wrong_person")

    barred = await decided(intake, erasure)
    await act(intake, f"/v1/holds/{hold.json()['hold_id']}/liftings", {})
    done = await decided(intake, erasure)

    assert barred.json()["errors"][0]["code"] == "legal_hold"
    assert done.status_code == 201
    assert await _keys(intake, "limitation_record") == []  # somebody who never was a party


async def test_a_file_whose_time_has_come_is_proposed_and_a_person_approves(
    intake: Intake,
) -> None:
    """checklist 1.30: retention by class; no destruction without approval (D-16, D-17)."""
    case = await whole_case(intake)
    id_ = case["case_id"]
    longer = await act(
        intake, f"/v1/cases/{id_}/retention", {"retention_class": "long", "ground": "content"}
    )
    assert longer.json()["keep_until"] is None  # it counts from closing
    await closed(intake, case)
    view = (await intake.get(f"/v1/cases/{id_}/retention", COURT, "case:read")).json()
    assert view["retention_class"] == "long"
    assert view["keep_until"] > "2056"
    intake.runtime.clock.offset = timedelta(days=29 * 365)
    assert await keeping.sweep(intake.runtime) == 0
    intake.runtime.clock.offset = timedelta(days=31 * 366)

    assert await keeping.sweep(intake.runtime) == 1
    assert await keeping.sweep(intake.runtime) == 0

    (found,) = (await intake.get(f"/v1/cases/{id_}/erasures", COURT, "case:read")).json()["items"]
    assert (found["requested_by"], found["state"]) == ("machine", "requested")
    done = await decided(intake, found["erasure_id"])
    assert done.json()["state"] == "erased"
    assert await _keys(intake, "limitation_record") == []  # thirty years on nobody needs it


async def test_a_party_asks_and_is_told_the_ground_of_a_refusal(intake: Intake) -> None:
    """checklist 1.17 (rights), 1.30."""
    case = await intake.registered()
    head = await party_head(intake, case)
    asked = await intake.http.post(
        "/v1/party/erasures", json={"ground": "consent_withdrawn"}, headers=head
    )
    never = await intake.http.post(
        "/v1/party/erasures", json={"ground": "term_ended"}, headers=head
    )
    assert never.json()["errors"][0]["code"] == "erasure_ground_unknown"

    barred = await decided(intake, asked.json()["erasure_id"])
    await decided(intake, asked.json()["erasure_id"], approved=False, refusal="must_be_kept")

    assert barred.json()["errors"][0]["code"] == "case_open"
    (own,) = (await intake.http.get("/v1/party/erasures", headers=head)).json()["items"]
    assert (own["state"], own["refusal"]) == ("refused", "must_be_kept")


async def test_what_an_erasure_leaves_holds_no_trace_in_events_or_audit(intake: Intake) -> None:
    case = await whole_case(intake)
    await decided(intake, await proposed(intake, case["case_id"], ground="unlawful"))

    text = json.dumps(await intake.events(case["case_id"]), ensure_ascii=False)

    assert "龘" not in text + await _dump(intake)
