"""A sender's own export, uploaded: each row becomes what a POST of it becomes, exactly once."""

import csv
import io
import json
from typing import Any

import asyncpg
import pytest

from intake.adapters.rows import Row
from intake.imports.files import PART_BYTES
from intake.imports.judging import Judge, Judged, Task
from intake.imports.pool import Here
from intake.imports.working import Importer
from services.messaging.failpoints import Failed, arm, disarm
from tests.intake.adapters import LAYOUTS, expected, export, outcomes
from tests.intake.imports.world import (
    TYPES,
    court_rows,
    imported,
    importer,
    native,
    refused_file,
    rows_of,
    shown,
    upload,
    work_off,
)
from tests.intake.world import COURT, POLICE, Intake

pytestmark = pytest.mark.postgres
OWNERS = {
    "court_pre_export": COURT,
    "police_110": POLICE,
    "hotline_12345": "330681-HL-0001",
    "petition": "330681-PO-0001",
    "labour_arbitration": "330681-DP-0001",
    "grid_events": "330681-CE-0002",
}

NAMES_WHO_ACTS = ("court_pre_export", "labour_arbitration")


@pytest.mark.parametrize("name", LAYOUTS)
async def test_a_dry_run_says_of_every_row_what_adapter_try_says_and_registers_nothing(
    intake: Intake, name: str
) -> None:
    """Checklist 1.15: line-by-line problems."""
    owner = OWNERS[name]
    before = (await intake.counts())["referral"]
    kind = TYPES[export(name).suffix[1:]]

    done = await imported(intake, native(name), owner, kind=kind, mode="dry_run")

    assert done["state"] == "done"
    assert done["layout"] == name
    found = {row["row"]: row for row in await rows_of(intake, done["import_id"], owner, limit=7)}
    for each in outcomes(name):
        own = {reason.rule for reason in each.reasons}
        got = found[each.row]
        rules = {reason["rule"] for reason in got["reasons"]}
        foreign = rules - own == {"organisation_not_yours"}
        assert foreign or rules | {"repeats_row"} == own | {"repeats_row"}, each.row
        assert foreign or (got["outcome"] == "refused") == (each.outcome == "refused"), each.row
    assert len(found) == len(expected(name)) == done["rows_read"]
    assert (await intake.counts())["referral"] == before


async def _stored(intake: Intake, reference: str) -> dict[str, Any]:
    """What every table holds of a referral's case, without ids, instants and sealed bytes."""
    db = await asyncpg.connect(intake.superuser_url)
    try:
        case_id = await db.fetchval("SELECT case_id FROM referral WHERE reference = $1", reference)
        names = [
            row["table_name"]
            for row in await db.fetch(
                """SELECT table_name FROM information_schema.columns
                   WHERE column_name = 'case_id' AND table_schema = 'public'"""
            )
        ]
        found: dict[str, Any] = {}
        for name in sorted(names):
            rows = await db.fetch(f"SELECT * FROM {name} WHERE case_id = $1", case_id)
            found[name] = sorted(_comparable(dict(row)) for row in rows)
        found["outbox"] = [
            (row["type"], sorted(h[0] for h in eval_json(row["headers"])), _told(row["data"]))
            for row in await db.fetch(
                "SELECT type, headers, data FROM outbox WHERE key = $1 ORDER BY id", str(case_id)
            )
        ]
        return found
    finally:
        await db.close()


def _told(data: bytes) -> list[tuple[str, Any]]:
    """The members of an event in their order; own ids, numbers and instants only by name."""
    own = ("case_id", "case_number", "referral_id", "reference", "registered_at")
    body = json.loads(data)
    for party in body.get("parties", ()):
        party["party_id"] = len(party["party_id"])
    return [(name, None if name in own else value) for name, value in body.items()]


def eval_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _comparable(row: dict[str, Any]) -> str:
    """Own ids, numbers, instants of recording and sealed bytes differ: only that they are there."""
    own = ("_at", "_id", "_since", "id", "case_number", "_hash", "_key", "correlation_id", "actor")
    return repr(
        sorted(
            (name, value is not None if name.endswith(own) or isinstance(value, bytes) else value)
            for name, value in row.items()
            if name not in ("reference", "normal_reference", "subject")
        )
    )


async def test_an_imported_row_is_stored_and_told_like_a_posted_one(intake: Intake) -> None:
    """Checklist 1.15: every accepted row gives the same rows, events and receipts as a POST."""
    await imported(intake, court_rows(1, start=7001))
    again = await imported(intake, court_rows(2, start=7001))
    (first, second) = await rows_of(intake, again["import_id"])
    document = next(o.referral for o in outcomes("court_pre_export") if o.row == 1)
    assert document is not None
    reference = "（2026）浙0681民诉前调7003号"
    document = {
        **document,
        "source": {**document["source"], "reference": reference},
        "legal_context": {**document["legal_context"], "court_case_number": reference},
    }

    posted = await intake.post("/v1/referrals", document)

    assert posted.status_code == 201, posted.text
    assert (first["outcome"], second["outcome"]) == ("repeated", "accepted")
    one = await _stored(intake, "（2026）浙0681民诉前调7002号")
    other = await _stored(intake, reference)
    assert one == other
    receipts = await intake.get(f"/v1/referrals/{second['referral_id']}/receipt")
    assert [len(each["secret"]) for each in receipts.json()["receipts"]] == [10, 10]


@pytest.mark.parametrize("name", LAYOUTS)
async def test_every_row_that_an_import_accepts_a_post_accepts_and_makes_the_same_case_of(
    intake: Intake, name: str
) -> None:
    """Checklist 1.15: by import the checks and the outcome are those of a POST."""
    owner = next(o.referral["source"]["organisation"] for o in outcomes(name) if o.referral)
    done = await imported(intake, native(name), owner, kind=TYPES[export(name).suffix[1:]])
    rows = {
        row["row"]: row
        for row in await rows_of(intake, done["import_id"], owner, outcome="accepted", limit=200)
    }
    documents = {each.row: each.referral for each in outcomes(name) if each.row in rows}
    acting = 0

    for number, document in documents.items():
        assert document is not None, number
        source = {**document["source"], "reference": f"P-{number}"}
        answer = await intake.post("/v1/referrals", {**document, "source": source}, owner)

        assert answer.status_code == 201, (number, answer.text)
        one = await _stored(intake, rows[number]["reference"])
        assert one == await _stored(intake, f"P-{number}"), number
        acting += len(one["representation"])
        warned = {warning["code"] for warning in answer.json()["warnings"]}
        assert warned <= {reason["rule"] for reason in rows[number]["reasons"]}, number
    assert len(documents) == done["accepted"] > 0
    assert (acting > 0) == (name in NAMES_WHO_ACTS)


@pytest.mark.parametrize("place", ["imports.after_batch", "unit_of_work.before_commit"])
async def test_an_import_that_dies_in_the_middle_goes_on_and_does_every_row_once(
    intake: Intake, place: str
) -> None:
    """Checklist 1.15: resumable."""
    import_id = (await upload(intake, court_rows(90), mode="run")).json()["import_id"]
    small = intake.runtime.settings.model_copy(update={"import_batch": 20})
    intake.runtime.settings = small

    def die() -> None:
        raise Failed

    arm(place, 3, die)
    dying = importer(intake)
    try:
        with pytest.raises(Failed):
            await dying.work_off()
        half = await shown(intake, import_id)
        assert 0 < half["rows_read"] < 90
        await intake.runtime.pool.execute("UPDATE import_run SET held_until = now()")
        await work_off(intake)
    finally:
        disarm()
        await dying.close()

    done = await shown(intake, import_id)
    assert (done["state"], done["accepted"], done["rows_read"]) == ("done", 90, 90)
    assert (await intake.counts())["referral"] == 90
    assert [row["row"] for row in await rows_of(intake, import_id, limit=200)] == list(range(1, 91))
    events = await intake.runtime.pool.fetchval("SELECT count(*) FROM outbox WHERE topic = 'cases'")
    assert events == 180


async def test_a_whole_upload_again_has_no_effect_and_other_content_is_refused(
    intake: Intake,
) -> None:
    """Checklist 1.2, 1.15: repeatable without effect."""
    body = native("court_pre_export")
    first = await imported(intake, body)
    counts = await intake.counts()

    again = await imported(intake, body)
    changed = await imported(
        intake, body.replace("民间借贷纠纷".encode(), "买卖合同纠纷".encode(), 1)
    )

    assert first["accepted"] > 10
    assert (again["accepted"], again["repeated"]) == (0, first["accepted"] + first["repeated"])
    assert again["refused"] == first["refused"]
    assert changed["refused"] == first["refused"] + 1
    row = (await rows_of(intake, changed["import_id"]))[0]
    assert [reason["rule"] for reason in row["reasons"]] == ["reference_in_use"]
    assert row["reasons"][0]["message_zh"] == "本单位已用该编号报送过内容不同的来件。"
    later = await intake.counts()
    for table in ("referral", "case_file", "party", "party_vault", "outbox", "holding"):
        assert later[table] == counts[table], table


@pytest.mark.parametrize("name", LAYOUTS)
async def test_refused_rows_come_back_in_the_senders_layout_and_can_be_sent_again(
    intake: Intake, name: str
) -> None:
    owner, kind = OWNERS[name], TYPES[export(name).suffix[1:]]
    done = await imported(intake, native(name), owner, kind=kind)
    rows = await rows_of(intake, done["import_id"], owner, outcome="refused", limit=200)

    answer = await refused_file(intake, done["import_id"], owner)

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(kind)
    again = await imported(intake, answer.content, owner, kind=kind, layout=name)
    assert again["rows_read"] == again["refused"] == done["refused"] > 0
    # A row that was not whole is given back as far as it was.
    unbroken = [r for r in rows if not {x["rule"] for x in r["reasons"]} & {"line_broken"}]
    repeated = await rows_of(intake, again["import_id"], owner, outcome="refused", limit=200)
    told = [[reason["rule"] for reason in row["reasons"]] for row in repeated]
    for row in unbroken:
        assert [reason["rule"] for reason in row["reasons"]] in told
    audits = await intake.runtime.pool.fetchval(
        "SELECT count(*) FROM audit_entry WHERE action = 'import.refused_read'"
    )
    assert audits == 1


async def test_the_reason_stands_in_a_column_of_its_own(intake: Intake) -> None:
    done = await imported(intake, native("court_pre_export"))

    text = (await refused_file(intake, done["import_id"])).content.decode("utf-8-sig")

    head, *rows = csv.reader(io.StringIO(text))
    assert head[-1] == "拒收原因"
    assert len(rows) == done["refused"]
    assert any("id_became_number" in row[-1] and "末几位" in row[-1] for row in rows)


async def test_a_dry_run_becomes_one_run_however_often_it_is_asked(intake: Intake) -> None:
    dry = await imported(intake, court_rows(3), mode="dry_run")
    path = f"/v1/imports/{dry['import_id']}/runs"

    first, second = await intake.post(path, None), await intake.post(path, None)

    assert first.status_code == second.status_code == 202, first.text
    assert first.json()["import_id"] == second.json()["import_id"]
    await work_off(intake)
    run = await shown(intake, first.json()["import_id"])
    assert (run["state"], run["accepted"], run["dry_run_id"]) == ("done", 3, dry["import_id"])
    twice = await intake.post(f"/v1/imports/{run['import_id']}/runs", None)
    assert twice.status_code == 409
    third = await imported(intake, court_rows(3), mode="dry_run")
    assert third["repeated"] == 3


async def test_a_cancelled_import_registers_nothing_more(intake: Intake) -> None:
    import_id = (await upload(intake, court_rows(5), mode="run")).json()["import_id"]
    path = f"/v1/imports/{import_id}/cancellations"

    first, second = await intake.post(path, None), await intake.post(path, None)

    assert (first.status_code, second.status_code) == (201, 201), first.text
    assert first.json()["state"] == "cancelled"
    assert await work_off(intake) == 0
    assert (await intake.counts())["referral"] == 0


async def test_an_import_is_not_there_for_anybody_else(intake: Intake) -> None:
    done = await imported(intake, court_rows(1))

    for path in ("", "/rows", "/refused?purpose=handling"):
        answer = await intake.get(f"/v1/imports/{done['import_id']}{path}", POLICE)
        assert answer.status_code == 404, path
    for path in ("runs", "cancellations"):
        answer = await intake.post(f"/v1/imports/{done['import_id']}/{path}", None, POLICE)
        assert answer.status_code == 404, path
    assert (await intake.get("/v1/imports", POLICE)).json()["items"] == []
    assert [i["import_id"] for i in (await intake.get("/v1/imports")).json()["items"]] == [
        done["import_id"]
    ]


async def test_the_file_is_sealed_at_rest_and_deleted_after_its_term(intake: Intake) -> None:
    """Checklist 1.11: nothing personal outside the vault."""
    body = court_rows(30, longer=9000)
    assert len(body) > 2 * PART_BYTES
    done = await imported(intake, body, mode="dry_run")
    pool = intake.runtime.pool
    parts = await pool.fetch("SELECT data FROM import_part ORDER BY ordinal")
    assert len(parts) == -(-len(body) // PART_BYTES)
    for part in parts:
        assert "俞芳涛".encode() not in part["data"]
        assert b"362330198205050090" not in part["data"]
    lines = repr(await pool.fetch("SELECT * FROM import_row"))
    assert "俞芳涛" not in lines
    assert "362330198205050090" not in lines

    from intake.imports import repository

    assert await repository.delete_files(pool, intake.runtime.clock.now()) == 0
    await pool.execute("UPDATE import_file SET delete_at = now() - interval '1 second'")
    assert await repository.delete_files(pool, intake.runtime.clock.now()) == 1

    assert await pool.fetchval("SELECT count(*) FROM import_part") == 0
    assert await pool.fetchval("SELECT wrapped_key FROM import_file") is None
    answer = await refused_file(intake, done["import_id"])
    assert answer.status_code == 410
    assert (await intake.post(f"/v1/imports/{done['import_id']}/runs", None)).status_code == 410
    assert len(await rows_of(intake, done["import_id"], limit=200)) == 30


async def test_the_same_key_with_the_same_file_is_one_import(intake: Intake) -> None:
    key = intake.key()
    first = await upload(intake, court_rows(1), headers=key)
    again = await upload(intake, court_rows(1), headers=key)
    other = await upload(intake, court_rows(2), headers=key)

    assert first.json()["import_id"] == again.json()["import_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    short = await upload(intake, court_rows(1), headers={"Idempotency-Key": "short"})
    assert (short.status_code, short.json()["code"]) == (400, "malformed")
    assert await intake.runtime.pool.fetchval("SELECT count(*) FROM import_run") == 1


async def test_what_cannot_be_an_export_is_told_at_once_or_as_the_imports_fault(
    intake: Intake,
) -> None:
    image = await upload(intake, b"x", kind="image/png")
    empty = await upload(intake, b"")
    unknown = await upload(intake, b"x", layout="nobody_has_this")
    strange = await imported(intake, b"a,b\n1,2\n", layout="court_pre_export")
    nobodys = await imported(intake, b"a,b\n1,2\n")
    cut = await imported(
        intake, native("labour_arbitration")[:-200], "330681-DP-0001", kind="application/xml"
    )

    assert [a.status_code for a in (image, empty, unknown)] == [415, 422, 404]
    assert strange["state"] == "failed"
    assert strange["fault"]["rule"] == "head_differs"
    assert nobodys["fault"]["rule"] == "no_layout_fits"
    assert cut["state"] == "failed"
    assert cut["fault"]["rule"] == "file_not_xml"
    assert cut["rows_read"] > 0


async def test_own_layouts_are_checked_whole_versioned_and_go_before_shipped_ones(
    intake: Intake,
) -> None:
    from tests.intake.adapters import raw_layout
    from tests.intake.world import SENDER, bearer, token

    raw = raw_layout("court_pre_export")
    head = bearer(token(COURT, *SENDER))

    async def put(name: str, body: Any) -> Any:
        return await intake.http.put(f"/v1/layouts/{name}", json=body, headers=head)

    wrong = await put("court_pre_export", {**raw, "version": 0, "odd": 1, "columns": {}})
    semantic = await put("court_pre_export", {**raw, "reasons": {}})
    kept = await put("court_pre_export", {**raw, "version": 2})
    same = await put("court_pre_export", {**raw, "version": 2})
    lower = await put("court_pre_export", {**raw, "version": 1, "about": "other"})
    elsewhere = await put("other_name", {**raw, "version": 3})

    assert (wrong.status_code, semantic.status_code) == (422, 422)
    assert {e["pointer"] for e in wrong.json()["errors"]} == {"/version", "/odd", "/columns"}
    assert len(semantic.json()["errors"]) == 3
    assert (kept.status_code, same.status_code) == (200, 200), kept.text
    assert (lower.status_code, elsewhere.status_code) == (409, 422)
    listed = {e["layout"]: e for e in (await intake.get("/v1/layouts")).json()["items"]}
    assert (listed["court_pre_export"]["version"], listed["court_pre_export"]["own"]) == (2, True)
    assert listed["police_110"]["own"] is False
    theirs = (await intake.get("/v1/layouts/court_pre_export", POLICE)).json()
    assert (theirs["version"], theirs["own"]) == (1, False)
    done = await imported(intake, court_rows(1))
    assert (done["layout_version"], done["accepted"]) == (2, 1)


class _Stumbling(Judge):
    """Judges that fail on one row, as a fault of ours would."""

    def check(self, going: Any) -> None:
        if going.row.number == 2:
            raise KeyError("362330198205050090")
        super().check(going)


class _Never(Here):
    """Judges that never answer."""

    async def judge(self, task: Task, rows: list[Row]) -> list[Judged]:
        raise RuntimeError("not today")


async def test_a_fault_of_ours_in_one_row_refuses_that_row_alone(
    intake: Intake, capsys: pytest.CaptureFixture[str]
) -> None:
    import_id = (await upload(intake, court_rows(3), mode="run")).json()["import_id"]
    judges = Here(intake.runtime)
    judges.judges = _Stumbling(intake.runtime.directory.entries, intake.runtime.settings.keys_dir)
    working = Importer(intake.runtime, judges)

    await working.work_off()

    await working.close()
    rows = await rows_of(intake, import_id)
    assert [row["outcome"] for row in rows] == ["accepted", "refused", "accepted"]
    assert [reason["rule"] for reason in rows[1]["reasons"]] == ["row_not_understood"]
    assert "362330198205050090" not in capsys.readouterr().out


async def test_an_import_that_fails_again_and_again_is_ended_and_the_next_one_is_done(
    intake: Intake,
) -> None:
    import_id = (await upload(intake, court_rows(1), mode="run")).json()["import_id"]
    working = Importer(intake.runtime, _Never(intake.runtime))
    for _ in range(4):
        with pytest.raises(RuntimeError):
            await working.work_off()

    await working.work_off()

    await working.close()
    found = await shown(intake, import_id)
    assert (found["state"], found["fault"]["rule"]) == ("failed", "row_not_understood")
    assert (await imported(intake, court_rows(1)))["accepted"] == 1
