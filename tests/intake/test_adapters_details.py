"""Details of a dispute type out of a sender's own export: mapped, checked, shown and proposed."""

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intake import types
from intake.adapters.cli import try_file
from intake.adapters.draft import draft, vocabulary
from intake.adapters.layout import Layout, LayoutError, checked
from intake.adapters.sampling import sample
from intake.adapters.trial import Outcome, Trial
from tests.intake.adapters import TODAY, places
from tests.intake.test_messages import CHINESE, ENGLISH
from tests.intake.world import SAMPLES

FOLDER = Path(__file__).parent / "layouts_of_types"
EXPORT, LAYOUT = FOLDER / "township_register.csv", FOLDER / "township_register.json"
Change = Callable[[dict[str, Any]], Any]


def raw() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(LAYOUT.read_text("utf-8"))
    return found


def tried(layout: Layout, body: bytes) -> list[Outcome]:
    return list(Trial(layout, places(), TODAY).run(io.BytesIO(body)))


OUTCOMES = tried(checked(raw()), EXPORT.read_bytes())
MAPPED: list[dict[str, Any] | None] = [
    {"married_on": "2011-05-20", "living_apart": True, "children_under_18": 1},
    {"form": "written", "signed_on": "2025-12-08"},
    {"form": "oral"},
    {"workers": 8, "months_owed": 3, "written_contract": False},
    {"happened_on": "2026-10-28", "responsibility": "equal", "injured": 1},
    {"living_apart": False, "children_under_18": 2},
    {"happened_on": "2026-11-01", "injured": 0},
    {"workers": 300000, "months_owed": 2, "written_contract": True},
    {"signed_on": "2024-02-01"},
    {"married_on": "2016-02-14", "living_apart": False, "children_under_18": 1},
    {"married_on": "1999-10-01"},
]


def test_days_counts_words_and_marks_become_details_of_the_rows_own_type() -> None:
    """Checklist 1.26: what a cell does not say is left out, never null."""
    assert [each.mapped["type_details"] for each in OUTCOMES] == MAPPED
    assert [each.outcome for each in OUTCOMES] == [
        *["accepted"] * 5,
        *["refused"] * 3,
        "warning",
        *["accepted"] * 2,
    ]


@pytest.mark.parametrize(
    ("row", "level", "column", "rule"),
    [
        (6, "refused", "结婚登记日期", "not_a_date"),
        (7, "refused", "事故责任认定", "code_unknown"),
        (8, "refused", "涉及工人数", "type_detail_differs"),
        (9, "warning", "合同签订日期", "type_detail_unknown"),
    ],
)
def test_a_detail_that_cannot_be_taken_names_row_column_and_rule(
    row: int, level: str, column: str, rule: str
) -> None:
    """Checklist 1.26: in Chinese and English, never with the value."""
    outcome = OUTCOMES[row - 1]
    (said,) = outcome.reasons

    assert (outcome.row, said.level, said.column, said.rule) == (row, level, column, rule)
    assert not any(value in said.message for value in ("300000", "2009", "五十"))
    if rule.startswith("type_detail"):
        assert CHINESE.search(said.message)
        assert ENGLISH.search(said.message)


def test_trying_shows_the_details_to_the_one_who_gave_the_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Checklist 1.26."""
    assert try_file(EXPORT, str(LAYOUT), SAMPLES, now=TODAY, as_json=True) == 0

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()][:-1]
    assert [row["mapped"]["type_details"] for row in rows] == MAPPED
    assert rows[0]["referral"]["type_details"] == MAPPED[0]


def one(raw: dict[str, Any], column: str) -> dict[str, Any]:
    """The mapping of a column."""
    found: dict[str, Any] = next(m for m in raw["mappings"] if m["column"] == column)
    return found


def table(raw: dict[str, Any], column: str) -> dict[str, Any]:
    """The entries of a column's table."""
    found: dict[str, Any] = next(t for t in raw["codes"] if t["column"] == column)["entries"]
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda raw: one(raw, "欠薪月数").update(to=["/type_details/bride_price"]),
            "No dispute type of this layout has the detail /type_details/bride_price",
        ),
        (  # a detail of a type that no row of this layout can have
            lambda raw: one(raw, "结婚登记日期").update(to=["/type_details/treated_on"]),
            "No dispute type of this layout has the detail /type_details/treated_on",
        ),
        (
            lambda raw: one(raw, "欠薪月数").update(to=["/type_details/months_owed/n"]),
            "a referral has no member /type_details/months_owed/n",
        ),
        (
            lambda raw: one(raw, "欠薪月数").pop("by"),
            "column 欠薪月数: text never gives what /type_details/months_owed takes",
        ),
        (
            lambda raw: one(raw, "结婚登记日期").update(by={"as": "count"}),
            "column 结婚登记日期: count never gives what /type_details/married_on takes",
        ),
        (
            lambda raw: one(raw, "结婚登记日期").update(to=["/type_details/living_apart"]),
            "column 结婚登记日期: date never gives what /type_details/living_apart takes",
        ),
        (
            lambda raw: table(raw, "合同形式")["书面"]["set"].update({"/type_details/form": "纸"}),
            "A value of /type_details/form breaks its type's schema",
        ),
        (  # the entry names the type itself: only that type counts
            lambda raw: table(raw, "纠纷类别")["邻里"]["set"].update(
                {"/type_details/form": "oral"}
            ),
            "No dispute type of this layout has the detail /type_details/form",
        ),
        (
            lambda raw: raw["constants"].update({"/type_details/workers": None}),
            "A value of /type_details/workers breaks its type's schema",
        ),
    ],
)
def test_a_layout_whose_details_cannot_fit_its_types_is_not_loaded(
    change: Change, told: str
) -> None:
    """Checklist 1.26: told before a row is read, where the layout itself says the type."""
    changed = raw()
    change(changed)

    with pytest.raises(LayoutError) as caught:
        checked(changed)

    assert told in str(caught.value)


def test_where_only_the_row_says_the_type_any_types_detail_may_be_mapped() -> None:
    """Checklist 1.26: then each row is held to the schema of its own type."""
    changed = raw()
    changed["codes"] = changed["codes"][1:]
    changed["mappings"].append({"column": "纠纷类别", "to": ["/dispute_type"], "required": True})
    one(changed, "结婚登记日期")["to"] = ["/type_details/treated_on"]
    layout = checked(changed)
    head, first = EXPORT.read_text("utf-8").splitlines()[:2]
    rows = [first.replace("婚姻家庭", "medical"), first.replace("婚姻家庭", "family")]

    medical, family = tried(layout, "\n".join([head, *rows]).encode())

    assert medical.mapped["type_details"]["treated_on"] == "2011-05-20"
    assert ("结婚登记日期", "type_detail_unknown") not in {
        (r.column, r.rule) for r in medical.reasons
    }
    assert ("结婚登记日期", "type_detail_unknown") in {(r.column, r.rule) for r in family.reasons}


def test_money_of_a_detail_becomes_whole_fen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checklist 1.26: an amount is never guessed, in a detail as in a claim."""
    trees = copy.deepcopy(types.versions())
    wage = next(t for t in trees[0]["types"] if t["code"] == "wage")
    wage["schema"]["properties"]["paid_fen"] = {"type": "integer", "minimum": 0}
    monkeypatch.setattr(types, "versions", lambda: trees)
    changed = raw()
    changed["columns"]["备注"] = {}
    paid = {"column": "备注", "to": ["/type_details/paid_fen"], "by": {"as": "yuan_to_fen"}}
    changed["mappings"].append(paid)
    layout = checked(changed)
    lines = EXPORT.read_text("utf-8").splitlines()

    good, bad = tried(
        layout, "\n".join([lines[0], lines[4] + "350.5", lines[4] + "约三百"]).encode()
    )

    assert good.mapped["type_details"]["paid_fen"] == 35050
    assert [(r.column, r.rule) for r in bad.reasons if r.level == "refused"] == [
        ("备注", "amount_not_a_number")
    ]


def test_in_json_a_mark_may_be_true_or_false_itself() -> None:
    """Checklist 1.26: a system that writes true and false need not write words."""
    changed = raw()
    changed["format"] = {"kind": "ndjson"}
    head, first = (line.split(",") for line in EXPORT.read_text("utf-8").splitlines()[:2])
    record = {k: v or None for k, v in zip(head, first, strict=True)} | {"是否分居": False}

    (outcome,) = tried(checked(changed), json.dumps(record).encode())

    assert outcome.mapped["type_details"]["living_apart"] is False


# -- drafts ---------------------------------------------------------------------------------------


def test_a_draft_proposes_the_details_that_its_types_have() -> None:
    """Checklist 1.26: by the words of the heads, as the layout written by hand maps them."""
    made = draft(sample(EXPORT), "own_export", places())

    layout = checked(made.layout)
    proposed = {p: m.column for m in layout.mappings for p in m.to if "/type_details/" in p}
    proposed |= {
        p: t.column
        for t in layout.codes
        for e in t.entries.values()
        for p in e.set
        if "/type_details/" in p
    }
    by_hand = {
        p: m["column"] for m in raw()["mappings"] for p in m["to"] if "/type_details/" in p
    } | {"/type_details/form": "合同形式", "/type_details/responsibility": "事故责任认定"}
    assert proposed == by_hand
    with EXPORT.open("rb") as file:
        found = [each.mapped["type_details"] for each in Trial(layout, places(), TODAY).run(file)]
    assert found[:6] == MAPPED[:6]
    assert any("事故责任认定" in left for left in made.left), "a word that stands for nothing known"


def test_a_detail_that_no_type_of_the_draft_has_is_left_out_and_said(tmp_path: Path) -> None:
    """Checklist 1.26."""
    lines = EXPORT.read_text("utf-8").splitlines()
    kept = [line for line in lines if ",合同," in line]
    path = tmp_path / "contracts.csv"
    path.write_text(
        "\n".join([lines[0], *(r.replace(",,,,书面", ",2001-02-03,,,书面") for r in kept)])
    )

    made = draft(sample(path), "own_export", places())

    assert made.layout["columns"]["结婚登记日期"] == {"kept": False}
    assert any("no type found here has the detail married_on" in each for each in made.left)
    checked(made.layout)


def test_the_vocabulary_has_words_for_every_detail_of_the_tree() -> None:
    """Checklist 1.26: and for none that no type has."""
    known = {
        name
        for tree in types.versions()
        for t in tree["types"]
        for name in t["schema"]["properties"]
    }

    assert {rule["detail"] for rule in vocabulary()["details"]} == known
    for rule in vocabulary()["details"]:
        schema = types.detail_schemas(rule["detail"])[0]
        assert set(rule.get("values", {}).values()) <= set(schema.get("enum", ()))
        assert ("values" in rule) == ("enum" in schema)
