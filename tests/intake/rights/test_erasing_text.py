"""What an erasure finds beside the vault: free text, refusals, uploads; and what its paper says."""

import csv
import io
from typing import Any

import asyncpg
import pytest

from intake.keys import keys_of
from intake.rights.masking import MASK, everywhere, literals, masked
from intake.vault import Erased
from services.messaging.jobs import run_due_jobs
from tests.intake.adapters import export
from tests.intake.gates.test_refusals import SUPERIOR, barred
from tests.intake.gates.test_refusals import act as at_desk
from tests.intake.imports.world import imported, rows_of
from tests.intake.rights.test_erasing import closed, decided, obeyed, proposed
from tests.intake.world import COURT, Intake, referral

NAME, OTHER, PHONE, FORMER = "龘样原告", "楼样他", "19900000456", "龘样旧名"


def test_literal_values_are_masked_the_longest_first_and_single_characters_are_not() -> None:
    """Checklist 1.30."""
    values = literals(
        {"name": "龘样", "identity": {"number": "330681198404040038"}, "phone": None},
        {"name": "龘样原告", "id": None, "address": "楼"},
    )

    assert values == {"龘样", "龘样原告", "330681198404040038"}
    assert masked("龘样原告与龘样，楼某", values) == f"{MASK}与{MASK}，楼某"
    assert everywhere({"a": ["龘样", 1], "龘样": None}, values) == {"a": [MASK, 1], "龘样": None}


async def told(intake: Intake, reference: str = "R-text") -> dict[str, Any]:
    """A case whose free text names its first party, under two names."""
    document = referral(reference)
    document["parties"][0] |= {"name": FORMER, "phone": PHONE}
    document["parties"][1]["name"] = OTHER
    document["title"] = f"{FORMER}诉{OTHER}"
    document["claims"] = [f"向{NAME}（{PHONE}）还款"]
    document["documents"][0]["name"] = f"{NAME}身份证.pdf"
    case: dict[str, Any] = (await intake.post("/v1/referrals", document)).json()
    await intake.post(
        f"/v1/referrals/{case['referral_id']}/corrections",
        {
            "reason": f"{FORMER}改名{NAME}",
            "changes": [{"pointer": "/parties/0/name", "value": NAME}],
        },
        **intake.key(),
        **{"If-Match": '"1"'},
    )
    for text in (f"{NAME}来电", f"{OTHER}来电"):
        body = {"kind": "supplement", "text": text}
        await intake.post(f"/v1/cases/{case['case_id']}/supplements", body, **intake.key())
    return case


async def erased(intake: Intake, case: dict[str, Any], **whose: str) -> dict[str, Any]:
    """Proposed, approved, obeyed by all four: the certificate."""
    erasure = await proposed(intake, case["case_id"], ground="unlawful", **whose)
    done = await decided(intake, erasure)
    assert done.status_code == 201, done.text
    await obeyed(intake, case["case_id"], erasure)
    await run_due_jobs(intake.runtime)
    found: dict[str, Any] = (await intake.get(f"/v1/erasures/{erasure}")).json()
    return found


@pytest.mark.postgres
async def test_free_text_names_an_erased_party_no_more_and_the_others_as_before(
    intake: Intake,
) -> None:
    """Checklist 1.30: title, claims, names of papers, history and supplements; not the others."""
    case = await told(intake)

    await erased(intake, case, party_ref="p1")

    path = f"/v1/referrals/{case['referral_id']}?purpose=handling"
    document = (await intake.get(path)).json()["document"]
    assert document["title"] == f"{MASK}诉{OTHER}"
    assert document["claims"] == [f"向{MASK}（{MASK}）还款"]
    assert document["documents"][0]["name"] == f"{MASK}身份证.pdf"
    assert document["parties"][1]["name"] == OTHER
    added = await intake.get(f"/v1/cases/{case['case_id']}/supplements?purpose=handling")
    assert [s["text"] for s in added.json()["items"]] == [f"{MASK}来电", f"{OTHER}来电"]
    (former,) = await _rows(intake, "SELECT * FROM referral_version")
    (row,) = await _rows(intake, "SELECT * FROM referral")
    opened = keys_of(intake.runtime).vault.open(
        "referral",
        row["referral_id"],
        row["kek_id"],
        bytes(row["wrapped_key"]),
        {name: bytes(former[name]) for name in ("document", "reason")},
    )
    assert opened["document"]["title"] == f"{MASK}诉{OTHER}"
    assert opened["reason"] == f"{MASK}改名{MASK}"


@pytest.mark.postgres
async def test_the_certificate_says_what_stays_and_on_which_law(intake: Intake) -> None:
    """Checklist 1.30: of one party more than of a whole file; the hash covers it."""
    one = await erased(intake, await told(intake), party_ref="p1")
    case = await told(intake, "R-whole")
    await closed(intake, case)
    whole = await erased(intake, case)

    for certificate, stays in (
        (
            one,
            ["figures", "access_log", "limitation", "agreement", "mediation_file", "others_papers"],
        ),
        (whole, ["figures", "access_log", "limitation"]),
    ):
        assert [s["code"] for s in certificate["stays"]] == stays
        assert all(s["zh"] and s["en"] and s["citation"] for s in certificate["stays"])
        assert (certificate["state"], len(certificate["sha256"])) == ("certified", 64)


@pytest.mark.postgres
async def test_what_was_refused_under_the_cases_number_goes_with_it(intake: Intake) -> None:
    """Checklist 1.30, 1.7: content and reasons of a review; ground and number stay."""
    first = (await intake.post("/v1/referrals", barred())).json()["refusal"]
    path = f"/v1/refusals/{first['refusal_id']}/reviews"
    body = {"outcome": "upheld", "reason": f"{NAME}已由公安机关受理"}
    await at_desk(intake, path, body, SUPERIOR)
    again = barred(reported="again")
    second = (await intake.post("/v1/referrals", again)).json()["refusal"]
    taken = await intake.post("/v1/referrals", barred(entrusted_by="330681-PS-0001"))
    before = await _rows(intake, "SELECT * FROM refusal ORDER BY refusal_id")

    await erased(intake, taken.json(), party_ref="p1")

    rows = await _rows(intake, "SELECT * FROM refusal ORDER BY refusal_id")
    assert [bytes(r["document"]) + bytes(r["wrapped_key"]) for r in rows] == [b"", b""]
    assert [r["number"] for r in rows] == [first["number"], second["number"]]
    (review,) = await _rows(intake, "SELECT * FROM refusal_review")
    assert bytes(review["reason"]) == b""
    vault = keys_of(intake.runtime).vault
    for row in before:
        with pytest.raises(Erased):
            vault.data_key("refusal", row["refusal_id"], row["kek_id"], bytes(row["wrapped_key"]))
    path = f"/v1/refusals/{second['refusal_id']}/reviews"
    late = await at_desk(intake, path, {"outcome": "upheld", "reason": "样"}, SUPERIOR)
    assert late.status_code == 410


@pytest.mark.postgres
async def test_the_upload_that_the_case_was_a_row_of_goes_with_it(intake: Intake) -> None:
    """Checklist 1.30: the file's parts, its refused rows and its key; others' uploads stay."""
    body = export("court_pre_export").read_bytes()
    lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"))))
    assert len(lines) > 2
    run = await imported(intake, body)
    other = await imported(intake, body.replace(b"\r\n", b"\n") + b"\n")
    row = next(r for r in await rows_of(intake, run["import_id"]) if r["outcome"] == "accepted")
    files = "SELECT file_id FROM import_file WHERE wrapped_key IS NOT NULL"
    assert len(await _rows(intake, files)) == 2
    (case,) = await _rows(
        intake, f"SELECT case_id::text FROM referral WHERE referral_id = '{row['referral_id']}'"
    )

    await erased(intake, {"case_id": case["case_id"]}, party_ref="p1")

    # Both uploads name the row: the second time it was repeated.
    assert await _rows(intake, files) == []
    assert await _rows(intake, "SELECT 1 FROM import_part") == []
    assert (await intake.get(f"/v1/imports/{other['import_id']}", COURT)).status_code == 200


async def _rows(intake: Intake, sql: str) -> list[asyncpg.Record]:
    db = await asyncpg.connect(intake.superuser_url)
    try:
        rows: list[asyncpg.Record] = await db.fetch(sql)
        return rows
    finally:
        await db.close()
