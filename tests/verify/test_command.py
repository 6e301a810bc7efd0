"""The command: what it says when it cannot look, and how it tells what it found."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import app
from services.verify.databases import side_by_side
from services.verify.report import KEPT, CannotLook, Checked, Report
from services.verify.run import Run

URLS = {f"{name}_DATABASE_URL": f"postgresql://{name.lower()}_app:x@127.0.0.1:9/liandiao"
        for name in ("INTAKE", "ROUTING", "MEDIATION", "NOTIFICATION")}  # fmt: skip


def test_it_could_not_look_where_nothing_runs(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["verify"], env={"LIANDIAO_HOME": str(tmp_path)})

    assert done.exit_code == 2
    assert "could not look: INTAKE_DATABASE_URL is not known" in done.output


def test_it_could_not_look_where_nobody_answers(tmp_path: Path) -> None:
    environ = {"LIANDIAO_HOME": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", **URLS}
    done = CliRunner().invoke(app, ["verify", "--no-wait"], env=environ)

    assert done.exit_code == 2
    assert "could not look: Kafka cannot be read" in done.output


def test_an_unknown_invariant_is_refused() -> None:
    done = CliRunner().invoke(app, ["verify", "--only", "everything"])

    assert done.exit_code == 2
    assert "no invariant is called everything" in done.output


def test_a_site_names_its_own_role_for_looking() -> None:
    own = "postgresql://auditor:y@127.0.0.1:9/liandiao"
    run = Run.of_home(Path("/nowhere"), {**URLS, "ROUTING_VERIFY_DATABASE_URL": own})

    assert run.databases["routing"] == own
    assert run.databases["intake"] == URLS["INTAKE_DATABASE_URL"]


def test_the_embedded_postgresql_is_read_as_its_superuser(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text(json.dumps(URLS))
    (tmp_path / "secrets.json").write_text(json.dumps({"postgres": "secret"}))

    run = Run.of_home(tmp_path, {})

    assert run.databases["intake"] == "postgresql://liandiao_admin:secret@127.0.0.1:9/liandiao"


def test_a_report_names_place_and_remedy_and_keeps_only_so_many() -> None:
    checked = Checked("feeds", "feeds are whole")
    for number in range(KEPT + 5):
        checked.found("a gap", "look", case_id="c", topic="t", partition=1, offset=number)
    report = Report([checked], "nothing under way")

    lines = list(report.lines())

    assert lines[0] == "feeds: a gap [case c, topic t, partition 1, offset 0] -> look"
    assert lines[KEPT] == "feeds: and 5 more"
    assert f"BROKEN {KEPT + 5} times" in lines[-2]
    assert lines[-1].startswith("NOT EVERYTHING HOLDS")
    assert json.loads(report.json())["holds"] is False


async def _rows(*keys: str):
    for key in keys:
        yield {"key": key}


async def test_sorted_streams_are_joined_by_their_key() -> None:
    streams = {"one": _rows("a", "a", "c"), "two": _rows("b", "c")}

    joined = [
        (key, len(rows["one"]), len(rows["two"]))
        async for key, rows in side_by_side(streams, "key")
    ]

    assert joined == [("a", 2, 0), ("b", 0, 1), ("c", 1, 1)]


async def test_a_stream_out_of_order_is_no_ground_for_a_verdict() -> None:
    with pytest.raises(CannotLook, match="not sorted"):
        async for _ in side_by_side({"one": _rows("b", "a")}, "key"):
            pass
