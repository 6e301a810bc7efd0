"""``liandiao adapter``: try a file, list the layouts; nothing is sent and nothing is written."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from intake.adapters.cli import try_file
from services.cli import app
from tests.intake.adapters import LAYOUTS, TODAY, expected, export, raw_layout, written
from tests.intake.world import SAMPLES

Printed = pytest.CaptureFixture[str]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["adapter", *words])


def shown(
    capsys: Printed, path: Path, layout: str | None = None, *, as_json: bool = False
) -> list[str]:
    """The lines that are printed on the samples' day."""
    code = try_file(path, layout, SAMPLES, now=TODAY, as_json=as_json)

    assert code == 0
    return capsys.readouterr().out.splitlines()


def tried(path: Path, *more: str) -> Result:
    return run("try", str(path), "--directory", str(SAMPLES), *more)


def test_the_layouts_are_listed_with_their_versions() -> None:
    lines = run("list").stdout.splitlines()

    assert [line.split()[:2] for line in lines] == [[name, "1"] for name in LAYOUTS]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_finds_its_layout_and_every_row_is_shown(capsys: Printed, name: str) -> None:
    lines = shown(capsys, export(name))

    wanted = [each["outcome"] for each in expected(name)]
    rows = [line for line in lines if line.startswith("row ")]
    assert [line.split("  ")[1] for line in rows] == wanted
    counts = ", ".join(
        f"{wanted.count(each)} {each}" for each in ("accepted", "warning", "refused")
    )
    assert lines[-1] == f"{name} version 1: {len(wanted)} rows: {counts}"


def test_refused_rows_are_shown_with_line_column_and_rule_and_end_with_0() -> None:
    result = tried(export("court_pre_export"))

    lines = result.stdout.splitlines()
    at = lines.index("row 10 (line 11)  refused  （2026）浙0681民诉前调2210号")
    assert lines[at + 1].startswith("    refused: 标的金额(元): amount_not_a_number: ")
    assert result.exit_code == 0


def test_json_gives_the_referral_of_each_row_and_a_summary(capsys: Printed) -> None:
    *rows, last = map(json.loads, shown(capsys, export("petition"), as_json=True))

    assert rows[0]["referral"]["source"]["reference"] == "ZJ330681202611020101"
    assert rows[-1]["referral"] is None
    assert last == {
        "summary": {
            "layout": "petition", "version": 1,
            "rows": 19, "accepted": 12, "warning": 2, "refused": 5,
        }
    }  # fmt: skip


def test_without_json_no_value_but_the_reference_is_shown(capsys: Printed) -> None:
    text = "\n".join(shown(capsys, export("police_110")))

    for line in export("police_110").read_text("gb18030").splitlines()[1:25]:
        cells = line.split(",")
        assert not [cell for cell in cells[1:] if len(cell) > 6 and cell in text]


def test_an_own_mapping_file_is_tried(capsys: Printed, tmp_path: Path) -> None:
    raw = raw_layout("court_pre_export")
    raw["layout"], raw["version"] = "our_court", 7
    raw["codes"][0]["entries"].pop("离婚纠纷")
    raw["reasons"].pop("status_not_mediated")

    lines = shown(capsys, export("court_pre_export"), str(written(tmp_path, raw)))

    assert [line for line in lines if line.startswith("    refused: 案由: code_unknown")]
    assert lines[-1].startswith("our_court version 7: 22 rows")


def test_a_file_that_cannot_be_read_as_a_whole_ends_with_1(tmp_path: Path) -> None:
    spoiled = tmp_path / "export.csv"
    spoiled.write_bytes(export("police_110").read_bytes().replace("报警人".encode("gb18030"), b"?"))

    found = tried(spoiled)
    named = tried(spoiled, "--layout", "police_110")

    assert (found.exit_code, named.exit_code) == (1, 1)
    assert "no_layout_fits" in found.stderr
    assert "export.csv cannot be read: head_differs" in named.stderr
    assert tried(tmp_path / "none.csv").exit_code == 1
    assert tried(tmp_path / "none.csv", "--layout", "police_110").exit_code == 1


def test_the_only_layout_of_an_ending_says_itself_what_is_wrong(tmp_path: Path) -> None:
    other = tmp_path / "x.json"
    other.write_text("{}", encoding="utf-8")

    assert "file_not_json" in tried(other).stderr


def test_a_misused_command_ends_with_2(tmp_path: Path) -> None:
    path = export("petition")
    (tmp_path / "own.json").write_text("{}", encoding="utf-8")

    assert tried(path, "--layout", "none").exit_code == 2
    assert tried(path, "--layout", str(tmp_path / "own.json")).exit_code == 2
    assert run("try", str(path), "--directory", str(tmp_path)).exit_code == 2
