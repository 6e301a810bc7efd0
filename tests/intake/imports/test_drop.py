"""The drop folder: files become imports once, results lie beside them, whatever dies in between."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from intake.imports.drop import compare_nightly, look
from intake.imports.schemas import ImportView
from intake.reconciliation.model import night, nightly_hour
from services.clock import SHANGHAI
from services.messaging.failpoints import Failed, arm, disarm
from tests.intake.imports.world import court_rows, native, work_off
from tests.intake.world import COURT, POLICE, Intake

pytestmark = pytest.mark.postgres
CONNECTION = f"o-{COURT.lower()}"


@pytest.fixture
def folder(intake: Intake, tmp_path: Path) -> Path:
    own = tmp_path / "drop" / CONNECTION
    own.mkdir(parents=True)
    more = {"drop_dir": tmp_path / "drop", "drop_settle_seconds": 60}
    intake.runtime.settings = intake.runtime.settings.model_copy(update=more)
    return own


def drop(folder: Path, name: str, body: bytes, *, old: bool = True) -> None:
    """A file that has lain still, or is being written."""
    path = folder / name
    path.write_bytes(body)
    if old:
        os.utime(path, (1, 1))


async def settle(intake: Intake) -> None:
    """Rounds of both loops until nothing is left to do."""
    while await look(intake.runtime) + await work_off(intake):
        pass


def result(folder: Path, name: str) -> list[dict[str, Any]]:
    text = (folder / "done" / f"{name}.result.ndjson").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


async def test_a_dropped_export_is_run_and_its_results_lie_beside_it(
    intake: Intake, folder: Path
) -> None:
    drop(folder, "周报.csv", native("court_pre_export"))
    drop(folder, "half.csv.part", court_rows(1, start=50))
    drop(folder, "young.csv", court_rows(1, start=60), old=False)

    await settle(intake)

    assert sorted(path.name for path in folder.iterdir()) == [
        "done", "half.csv.part", "working", "young.csv",
    ]  # fmt: skip
    assert sorted(path.name for path in (folder / "done").iterdir()) == [
        "周报.csv", "周报.csv.refused.csv", "周报.csv.result.ndjson",
    ]  # fmt: skip
    *lines, last = result(folder, "周报.csv")
    assert len(lines) == last["summary"]["rows_read"] == 22
    accepted = [line for line in lines if line["outcome"] == "accepted"]
    assert len(accepted) == last["summary"]["accepted"] > 10
    assert accepted[0]["case_number"].startswith("LD")
    assert accepted[0]["reference"].startswith("（2026）")
    assert "俞芳涛" not in json.dumps(lines, ensure_ascii=False)
    assert set(last["summary"]) == set(ImportView.model_fields)


@pytest.mark.parametrize(
    "place",
    [
        "imports.after_take_up",
        "imports.after_take_in",
        "unit_of_work.before_commit",
        "imports.after_results",
    ],
)
async def test_a_dropped_file_is_run_once_whatever_line_a_process_dies_on(
    intake: Intake, folder: Path, place: str
) -> None:
    drop(folder, "a.csv", court_rows(3))

    def die() -> None:
        raise Failed

    arm(place, 1, die)
    try:
        with pytest.raises(Failed):
            await settle(intake)
    finally:
        disarm()
    await settle(intake)

    assert (await intake.counts())["referral"] == 3
    assert [line.get("outcome") for line in result(folder, "a.csv")] == ["accepted"] * 3 + [None]
    assert list((folder / "working").iterdir()) == []


async def test_the_same_name_again_is_another_file_and_its_rows_are_repeats(
    intake: Intake, folder: Path
) -> None:
    drop(folder, "a.csv", court_rows(2))
    await settle(intake)
    drop(folder, "a.csv", court_rows(3))
    await settle(intake)

    (later,) = (p for p in (folder / "done").glob("a.*.csv.result.ndjson"))
    *_, last = map(json.loads, later.read_text("utf-8").splitlines())
    assert (last["summary"]["repeated"], last["summary"]["accepted"]) == (2, 1)


async def test_a_file_that_no_layout_fits_and_an_empty_one_are_given_back_with_the_reason(
    intake: Intake, folder: Path
) -> None:
    drop(folder, "odd.csv", b"a,b\n1,2\n")
    drop(folder, "empty.csv", b"")

    await settle(intake)

    assert result(folder, "odd.csv")[-1]["summary"]["fault"]["rule"] == "no_layout_fits"
    assert result(folder, "empty.csv")[-1]["refused"]["errors"][0]["code"] == "text_empty"
    assert list((folder / "working").iterdir()) == []


async def test_a_folder_that_cannot_be_worked_in_does_not_stop_the_others(
    intake: Intake, folder: Path
) -> None:
    other = folder.parent / f"o-{POLICE.lower()}"
    other.mkdir()
    (folder / "working").write_text("a file where the folder should be")
    drop(folder, "a.csv", court_rows(1))
    drop(other, "b.csv", native("police_110"))

    await settle(intake)

    assert (other / "done" / "b.csv.result.ndjson").exists()
    assert (folder / "a.csv").exists()


async def test_a_dropped_list_is_reconciled(intake: Intake, folder: Path) -> None:
    drop(folder, "a.csv", court_rows(2))
    await settle(intake)
    drop(
        folder, "reconcile-20261124.csv", "编号,状态\n（2026）浙0681民诉前调1号,在办\nX,\n".encode()
    )

    await settle(intake)

    found = {line.get("kind"): line for line in result(folder, "reconcile-20261124.csv")}
    assert found["unknown_here"]["reference"] == "X"
    assert found["unknown_there"]["reference"] == "（2026）浙0681民诉前调2号"
    assert set(found) == {"unknown_here", "unknown_there", None}


def test_the_night_that_was_due_last_goes_by_the_hour_in_shanghai() -> None:
    """The hour is data; a day in Shanghai begins eight hours before one in UTC."""
    hour = nightly_hour()
    due = datetime(2026, 11, 24, hour, tzinfo=SHANGHAI)

    assert night(due) == due
    assert night(due - timedelta(seconds=1)) == due - timedelta(days=1)
    assert night((due + timedelta(hours=21)).astimezone(UTC)) == due


async def test_the_last_dropped_list_is_compared_again_each_night(
    intake: Intake, folder: Path
) -> None:
    """Once a night, a missed one made up for once; what was mended is gone, what was not stays."""
    clock = intake.runtime.clock
    drop(folder, "reconcile-old.csv", "编号\nY,\n".encode())
    await settle(intake)
    listed = "编号,状态\n（2026）浙0681民诉前调1号,在办\nX,\n".encode()
    drop(folder, "reconcile-new.csv", listed)
    os.utime(folder / "reconcile-new.csv", (2, 2))
    await settle(intake)
    at_once = {line.get("reference") for line in result(folder, "reconcile-new.csv")}
    due = night(clock.now()) + timedelta(days=1)

    clock.offset += due - clock.now() - timedelta(seconds=30)
    early = await compare_nightly(intake.runtime)
    drop(folder, "a.csv", court_rows(1))
    await settle(intake)
    clock.offset += timedelta(seconds=60)
    on_time = [await compare_nightly(intake.runtime) for _ in range(2)]
    clock.offset += timedelta(days=3)
    later = [await compare_nightly(intake.runtime) for _ in range(2)]

    assert (early, on_time, later) == (0, [1, 0], [1, 0])
    assert at_once == {"（2026）浙0681民诉前调1号", "X", None}
    days = [f"{day.astimezone(SHANGHAI):%Y-%m-%d}" for day in (due, due + timedelta(days=3))]
    for day in days:
        found = result(folder, f"reconcile-new.csv.{day}")
        assert [line["reference"] for line in found[:-1]] == ["X"]
    assert sorted(path.name for path in (folder / "done").glob("reconcile-old*")) == [
        "reconcile-old.csv", "reconcile-old.csv.result.ndjson",
    ]  # fmt: skip
    listed_here = await intake.get("/v1/reconciliations")
    assert len(listed_here.json()["items"]) == 4


async def test_a_process_that_dies_after_a_nightly_comparison_writes_its_result_the_next_time(
    intake: Intake, folder: Path
) -> None:
    drop(folder, "reconcile.csv", "编号\nX\n".encode())
    await settle(intake)
    intake.runtime.clock.offset += timedelta(days=1)
    await compare_nightly(intake.runtime)
    (written,) = (folder / "done").glob("reconcile.csv.2*")
    before = written.read_bytes()
    written.unlink()

    again = await compare_nightly(intake.runtime)

    assert (again, written.read_bytes()) == (1, before)
    assert len((await intake.get("/v1/reconciliations")).json()["items"]) == 2
