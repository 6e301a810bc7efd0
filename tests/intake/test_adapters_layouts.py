"""A mapping file is checked strictly before a row is read; it holds data and no code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intake.adapters.layout import LayoutError, shipped
from tests.intake.adapters import LAYOUTS, own_layout, raw_layout

Change = Callable[[dict[str, Any]], Any]


def refusal(folder: Path, change: Change, name: str = "police_110") -> str:
    """What is said against a shipped layout with one change."""
    raw = raw_layout(name)
    change(raw)
    with pytest.raises(LayoutError) as caught:
        own_layout(folder, raw)
    return str(caught.value)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_shipped_layout_has_the_name_of_its_file_a_version_and_a_source(name: str) -> None:
    raw = raw_layout(name)

    assert raw["layout"] == name
    assert shipped()[name].version >= 1
    assert shipped()[name].source


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.update(comment="x"), "comment"),
        (lambda raw: raw["mappings"][0].update(when="x > 1"), "mappings/0/when"),
        (lambda raw: raw["mappings"][0].update(by={"as": "eval"}), "mappings/0/by"),
        (lambda raw: raw["mappings"][1]["by"].update(form="%Y"), "mappings/1/by/date"),
        (lambda raw: raw["format"].update(records="数据"), "records"),
        (lambda raw: raw["format"].pop("encoding"), "encoding"),
        (lambda raw: raw["format"].update(encoding="gbk"), "encoding"),
        (lambda raw: raw.pop("version"), "version"),
        (lambda raw: raw["codes"][0].update(entries={}), "codes/0/entries"),
        (lambda raw: raw["codes"][0].pop("entries"), "codes/0/entries"),
        (lambda raw: raw["parties"][0].update(consent={"column": "报警人"}), "values"),
    ],
)
def test_an_unknown_or_missing_member_is_named(tmp_path: Path, change: Change, words: str) -> None:
    told = refusal(tmp_path, change)

    assert words.split("/date")[0] in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda raw: raw["columns"].pop("报警人"), "column 报警人 is not declared"),
        (
            lambda raw: raw["columns"]["报警人"].update(kept=False),
            "column 报警人 is used although it is not kept",
        ),
        (
            lambda raw: raw["columns"].update(备注={}),
            "column 备注 is declared and nowhere used; say kept: false",
        ),
        (
            lambda raw: raw["codes"][0]["entries"]["080200"]["set"].pop("/lane"),
            "the codes of 警情类别代码 do not all set the same members",
        ),
        (
            lambda raw: raw["codes"][2].update(empty={}),
            "the codes of 家暴标识 do not all set the same members",
        ),
        (
            lambda raw: raw["codes"][0]["entries"]["080400"]["set"].update(
                {"/dispute_subtype": "loan"}
            ),
            "code 080400 of 警情类别代码: the subtype is not one of the type",
        ),
        (
            lambda raw: raw["codes"][0]["entries"]["080400"]["set"].update({"/lane": "fast"}),
            "a value of /lane is not in its closed list",
        ),
        (
            lambda raw: raw["constants"].update({"/channel": "pigeon"}),
            "a value of /channel is not in its closed list",
        ),
        (
            lambda raw: raw["constants"].update({"/priority": 1}),
            "a referral has no member /priority",
        ),
        (
            lambda raw: raw["mappings"][3].update(to=["/summary/text"]),
            "a referral has no member /summary/text",
        ),
        (lambda raw: raw["reasons"].pop("not_a_dispute"), "reason not_a_dispute has no sentence"),
        (lambda raw: raw["reasons"].update(spare="x"), "reason spare is nowhere used"),
        (
            lambda raw: raw["mappings"].pop(0),
            "no column gives /source/reference",
        ),
        (
            lambda raw: raw["mappings"][5].update(by={"as": "count", "at_most": 5}),
            "column 处警结果: at_most and beyond go together",
        ),
    ],
)
def test_what_does_not_fit_together_is_told_in_a_sentence(
    tmp_path: Path, change: Change, told: str
) -> None:
    assert told in refusal(tmp_path, change)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_a_file_that_is_no_layout_is_refused(tmp_path: Path, body: bytes) -> None:
    from intake.adapters.layout import read_layout

    path = tmp_path / "own.json"
    path.write_bytes(body)

    with pytest.raises(LayoutError):
        read_layout(path)


def test_a_changed_layout_that_fits_together_is_taken(tmp_path: Path) -> None:
    raw = raw_layout("police_110")
    raw.update(layout="police_122", version=2)

    assert own_layout(tmp_path, raw).version == 2
