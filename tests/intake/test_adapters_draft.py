"""A draft of a layout: how much of exports that people described it finds by itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from intake.adapters import cli
from intake.adapters.draft import Draft, draft
from intake.adapters.layout import checked
from intake.adapters.rows import FileError
from intake.adapters.sampling import sample
from intake.adapters.trial import Trial
from tests.intake.adapters import LAYOUTS, TODAY, export, places, raw_layout
from tests.intake.world import SAMPLES

# Columns of each sample that the draft does not take as the layout written by hand does.
MISSED = {"court_pre_export": 1, "grid_events": 2}


def drafted(path: Path) -> Draft:
    return draft(sample(path), "own_export", places())


def uses(layout: dict[str, Any]) -> dict[str, set[str]]:
    """What becomes of each column: member and transformation, a party's column, a table."""
    found: dict[str, set[str]] = {name: set() for name in layout["columns"]}
    for mapping in layout["mappings"]:
        for pointer in mapping["to"]:
            if pointer in ("/request_made_at", "/occurred_at"):
                continue
            said = f"{pointer} {mapping.get('by', {}).get('as', 'text')}"
            found[mapping["column"]].add("legal" if "/legal_context" in pointer else said)
    for table in layout["codes"]:
        found[table["column"]].add("codes")
    for party in layout["parties"]:
        prefix = f"{party['each']}/" if party.get("each") else ""
        for what in ("name", "id", "phone", "address"):
            if party.get(what):
                found[prefix + party[what]].add(f"{party['role']} {what}")
        for what in ("id_type", "gender", "consent"):
            if isinstance(party.get(what), dict):
                column = party[what]["column"]
                found[column if what == "consent" else prefix + column].add(what)
        if speaker := party.get("representative"):
            found[prefix + speaker["name"]].add("representative")
            if isinstance(speaker["authority"], dict):
                found[prefix + speaker["authority"]["column"]].add("authority")
    return {name: each - {"legal"} or each for name, each in found.items()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_draft_takes_nearly_every_column_as_a_person_did(name: str) -> None:
    by_hand, made = uses(raw_layout(name)), uses(drafted(export(name)).layout)

    missed = [column for column, use in by_hand.items() if made.get(column) != use]

    assert len(missed) == MISSED.get(name, 0), missed


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_draft_passes_the_check_and_says_what_a_referral_still_needs(name: str) -> None:
    made = drafted(export(name))

    layout = checked(made.layout)

    assert made.layout["format"]["kind"] == raw_layout(name)["format"]["kind"]
    with export(name).open("rb") as file:
        outcomes = list(Trial(layout, places(), TODAY).run(file))
    missing = {
        reason.pointer
        for outcome in outcomes
        for reason in outcome.reasons
        if reason.rule == "required" and reason.pointer
    }
    told = " ".join(made.left)
    assert all(pointer.startswith("/legal_context") or pointer in told for pointer in missing)


HELD_OUT = """流水号;来访日期;投诉人姓名;投诉人手机;投诉人身份证;被投诉企业名称;信用代码;争议金额;反映事项摘要;所在地;备注二
XF-0001;2026.11.02;俞芳涛;19900007123;362330198205050090;诸暨样例物业服务有限公司;91330681000001556Q;300.50;来访人反映预付卡充值后门店关门，多次要求退费没有结果。;浙江省诸暨市枫桥镇样例路1号;甲
XF-0002;2026.11.03;骆丽勇;19900005295;33072619550707000X;诸暨样例物业服务有限公司;91330681000001556Q;1200.00;来访人反映电梯频繁停运，物业只收费不维修，要求减免费用。;浙江省诸暨市东和乡样例路2号;丙
XF-0003;2026.11.04;胡勇磊;19900006491;330681198505050040;诸暨样例物业服务有限公司;91330681000001556Q;88.00;来访人反映网购商品与描述不符，商家拒绝退货退款。;浙江省诸暨市牌头镇样例路3号;丁
"""  # noqa: E501  # rows of an export


def test_an_export_that_the_vocabulary_was_not_made_from(tmp_path: Path) -> None:
    path = tmp_path / "consumer.csv"
    path.write_bytes(HELD_OUT.encode("gb18030"))

    made = drafted(path)

    assert made.layout["format"] == {"kind": "csv", "encoding": "gb18030", "delimiter": ";"}
    assert uses(made.layout) == {
        "流水号": {"/source/reference text"},
        "来访日期": {"/source/received_at date"},
        "投诉人姓名": {"applicant name"},
        "投诉人手机": {"applicant phone"},
        "投诉人身份证": {"applicant id"},
        "被投诉企业名称": {"respondent name"},
        "信用代码": {"respondent id"},
        "争议金额": {"/claim_fen yuan_to_fen"},
        "反映事项摘要": {"/summary text", "/title first_sentence"},
        "所在地": {"/place place_by_name"},
        "备注二": set(),
    }
    assert made.unknown == ["备注二"]
    assert [each.split(":")[0] for each in made.left] == [
        "/source/organisation", "/lane", "/dispute_type",
    ]  # fmt: skip
    checked(made.layout)


def test_the_command_prints_the_draft_and_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "consumer.csv", tmp_path / "own.json"
    path.write_text(HELD_OUT, encoding="utf-8")

    code = cli.draft_file(path, "consumer_export", out, SAMPLES, now=TODAY)

    told = capsys.readouterr()
    assert code == 0
    assert json.loads(out.read_text("utf-8"))["layout"] == "consumer_export"
    assert "to fill: /lane" in told.err
    assert "备注二: not understood" in told.err
    assert "俞芳涛" not in told.err
    assert "3 rows" in told.err


@pytest.mark.parametrize(
    "body", [b"", b"one\n", b"\xff\xff\xff,\x80\n", b"PK\x03\x04broken", b"<a/>"]
)
def test_what_is_no_export_is_said(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "odd.bin"
    path.write_bytes(body)

    with pytest.raises(FileError):
        sample(path)
