"""Six senders' exports become referrals as their expected.csv says, row by row."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from intake import strict_json
from intake.adapters.layout import checked, shipped
from intake.adapters.trial import Outcome, Trial
from intake.validation import validate
from services.events import lanes
from tests.intake.adapters import (
    LAYOUTS,
    TODAY,
    expected,
    export,
    outcomes,
    places,
    raw_layout,
    sample_rows,
    tried,
)

ROWS = [(name, number) for name in LAYOUTS for number in range(len(expected(name)))]
REASONS = {
    ("court_pre_export", 2): ("案由", "status_not_mediated"),
    ("court_pre_export", 5): ("第三人", "third_party_name_only"),
    ("court_pre_export", 7): ("被告证件号码", "id_check_digit"),
    ("court_pre_export", 10): ("标的金额(元)", "amount_not_a_number"),
    ("court_pre_export", 12): ("案号", "brackets_folded"),
    ("court_pre_export", 14): ("原告是否同意诉前调解", "applicant_does_not_agree"),
    ("court_pre_export", 18): ("原告证件号码", "id_became_number"),
    ("court_pre_export", 20): ("纠纷发生地", "place_not_in_force"),
    ("court_pre_export", 22): ("案号", "reference_in_use"),
    ("grid_events", 5): ("紧急程度", "urgent_read_at_once"),
    ("grid_events", 7): ("事件类别代码", "not_a_dispute"),
    ("grid_events", 9): ("是否当场化解", "settled_on_the_spot"),
    ("grid_events", 14): ("网格编码", "place_not_found"),
    ("grid_events", 16): (None, "line_broken"),
    ("grid_events", 17): ("上报时间", "epoch_in_seconds"),
    ("hotline_12345", 5): ("是否保密", "secrecy_asked"),
    ("hotline_12345", 8): ("关联工单", "repeat_call"),
    ("hotline_12345", 10): ("诉求类型", "not_a_dispute"),
    ("hotline_12345", 13): ("诉求内容", "cell_empty"),
    ("hotline_12345", 15): ("来电人", "nobody_to_mediate_with"),
    ("hotline_12345", 16): ("被诉求对象", "respondent_unknown"),
    ("hotline_12345", 18): ("联系电话", "normalised_width"),
    ("labour_arbitration", 4): ("被申请人/统一社会信用代码", "uscc_check_digit"),
    ("labour_arbitration", 8): ("申请日期", "not_a_date"),
    ("labour_arbitration", 14): ("@状态", "written_entrustment_needed"),
    ("petition", 5): ("证件号码", "id_became_number"),
    ("petition", 6): ("上次信访编号", "earlier_petition"),
    ("petition", 9): ("内容分类代码", "accusation"),
    ("petition", 11): ("登记日期", "date_is_text"),
    ("petition", 13): ("代表人数", "more_than_five_representatives"),
    ("petition", 16): ("问题属地", "place_not_found"),
    ("petition", 19): ("序号", "total_line"),
    ("police_110", 4): ("家暴标识", "domestic_violence_marked"),
    ("police_110", 6): ("涉及人员", "respondent_unknown"),
    ("police_110", 12): ("警情类别代码", "not_a_dispute"),
    ("police_110", 17): ("报警时间", "not_a_date"),
    ("police_110", 20): ("区划代码", "place_not_found"),
    ("police_110", 22): ("区划代码", "place_county_only"),
    ("police_110", 23): ("涉及人员", "same_person_on_both_sides"),
}


def referral_of(name: str, row: int) -> dict[str, Any]:
    found = outcomes(name)[row - 1].referral
    assert found is not None
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_record_of_an_export_has_an_outcome(name: str) -> None:
    assert [str(each.row) for each in outcomes(name)] == [each["row"] for each in expected(name)]


@pytest.mark.parametrize(("name", "number"), ROWS)
def test_a_row_becomes_what_its_sender_expects(name: str, number: int) -> None:
    wanted, found = expected(name)[number], outcomes(name)[number]

    shown = {"reference": found.reference, "outcome": found.outcome, **found.mapped}
    said = {key: "" if value is None else str(value) for key, value in shown.items()}

    assert {key: said[key] for key in wanted.keys() - {"row", "reason"}} == {
        key: wanted[key] for key in wanted.keys() - {"row", "reason"}
    }


@pytest.mark.parametrize(("name", "number"), ROWS)
def test_a_row_that_is_not_simply_accepted_says_column_and_rule(name: str, number: int) -> None:
    found = outcomes(name)[number]
    told = [(each.column, each.rule) for each in found.reasons if each.level == found.outcome]

    wanted = REASONS.get((name, number + 1))

    assert told == ([wanted] if wanted else [])
    assert all(each.message for each in found.reasons)


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_not_refused_is_a_referral_that_intake_takes(name: str) -> None:
    taken = [each.referral for each in outcomes(name) if each.outcome != "refused"]

    assert taken
    for referral in taken:
        body = strict_json.parse(json.dumps(referral, ensure_ascii=False).encode())
        assert validate(body, places(), lanes.may_send, TODAY).errors == ()


def test_a_refused_row_has_no_referral() -> None:
    for name in LAYOUTS:
        for each in outcomes(name):
            assert (each.referral is None) == (each.outcome == "refused")


# -- what the mapping says beyond the expected columns ---------------------------------------------


def test_two_respondents_of_one_cell_are_two_parties_with_one_address() -> None:
    first, second = referral_of("court_pre_export", 4)["parties"][1:]

    assert (first["ref"], second["ref"]) == ("p2", "p3")
    assert first["id"]["number"] != second["id"]["number"]
    assert first["phone"] != second["phone"]
    assert first["address"] == second["address"]


def test_a_leading_tab_before_a_number_is_no_part_of_it() -> None:
    row = sample_rows("court_pre_export")[0]
    number = row.cells["原告证件号码"]

    assert isinstance(number, str)
    assert number.startswith("\t")
    party = referral_of("court_pre_export", 1)["parties"][0]
    assert party["id"]["number"] == number.removeprefix("\t")


def test_a_credit_code_is_verified_and_a_persons_number_is_not() -> None:
    company, person = referral_of("court_pre_export", 3)["parties"]

    assert (company["kind"], company["id"]["type"], company["id"]["verified"]) == (
        "organisation", "uscc", True,
    )  # fmt: skip
    assert (person["kind"], person["id"]["type"], person["id"]["verified"]) == (
        "person", "resident_id", False,
    )  # fmt: skip
    assert company["representative"]["authority"] == "special"


def test_the_sender_vouches_for_the_applicant_on_the_day_of_receipt_and_for_nobody_else() -> None:
    applicant, respondent = referral_of("police_110", 1)["parties"]

    assert applicant["consent"] == {"state": "given", "on": "2026-11-02"}
    assert respondent["consent"] == {"state": "unknown", "on": None}


def test_a_branch_of_the_court_sends_in_its_own_name() -> None:
    assert referral_of("court_pre_export", 1)["source"]["organisation"] == "330681-CT-0001"
    assert referral_of("court_pre_export", 8)["source"]["organisation"] == "330681-CT-0002"


def test_half_width_brackets_of_a_case_number_become_full_width_ones() -> None:
    assert sample_rows("court_pre_export")[11].cells["案号"].startswith("(2026)")  # type: ignore[union-attr]

    assert referral_of("court_pre_export", 12)["source"]["reference"].startswith("（2026）")


def test_domestic_violence_marked_by_the_police_hides_the_callers_address() -> None:
    marked = referral_of("police_110", 4)

    assert marked["safety"]["concerns"] == [{"kind": "domestic_violence", "reported_by": "source"}]
    assert marked["parties"][0]["protected"] == {"name": False, "phone": False, "address": True}
    assert referral_of("police_110", 5)["safety"]["concerns"] == []


def test_a_caller_who_asks_for_secrecy_is_protected_wholly() -> None:
    protected = referral_of("hotline_12345", 5)["parties"][0]["protected"]

    assert protected == {"name": True, "phone": True, "address": True}


def test_a_character_of_four_bytes_and_a_line_break_in_quotes_survive() -> None:
    assert "𠮷" in referral_of("police_110", 11)["parties"][1]["name"]
    assert "\n" in referral_of("police_110", 24)["summary"]
    assert outcomes("police_110")[23].line == 25


def test_nobody_asked_for_what_a_grid_worker_found() -> None:
    found = referral_of("grid_events", 1)

    assert found["request_made_at"] is None
    assert found["legal_context"]["proactive"] is True
    assert found["source"]["received_at"] == "2026-11-02T22:10:00+08:00"
    assert found["source"]["contact"] == {"name": "样例网格员1"}


def test_where_a_grid_worker_stood_is_not_taken_over() -> None:
    longitude = sample_rows("grid_events")[0].cells["经度"]

    assert str(longitude) not in json.dumps(referral_of("grid_events", 1))


def test_a_time_in_seconds_is_read_as_seconds() -> None:
    assert referral_of("grid_events", 17)["source"]["received_at"].startswith("2026-11-11T")


def test_a_cut_off_line_is_one_refused_row_with_its_number_and_reference() -> None:
    broken = outcomes("grid_events")[15]

    assert (broken.line, broken.reference, broken.referral) == (16, "WG202611110016", None)
    assert outcomes("grid_events")[16].outcome == "warning"


def test_serial_day_numbers_and_one_text_are_the_same_calendar() -> None:
    assert referral_of("petition", 1)["source"]["received_at"] == "2026-11-02T00:00:00+08:00"
    assert referral_of("petition", 1)["legal_context"]["handling_limit_ends_on"] == "2027-01-01"
    assert referral_of("petition", 11)["source"]["received_at"] == "2026-11-07T00:00:00+08:00"


def test_a_petition_keeps_how_it_came_how_many_and_the_round_before() -> None:
    first, repeated = referral_of("petition", 3), referral_of("petition", 6)

    assert first["channel"] == "letter"
    assert first["legal_context"]["petitioners"] == 6
    assert first["legal_context"]["representative_count"] == 2
    assert repeated["legal_context"]["first_time"] is False
    assert repeated["legal_context"]["prior_rounds"] == [{"reference": "ZJ330681202608040077"}]


def test_three_applicants_and_the_employers_legal_representative() -> None:
    *workers, employer = referral_of("labour_arbitration", 3)["parties"]

    assert [each["ref"] for each in workers] == ["p1", "p2", "p3"]
    assert {each["consent"]["state"] for each in workers} == {"given"}
    assert employer["representative"]["authority"] == "statutory"


def test_markup_characters_are_text_and_a_residence_permit_is_its_own_document() -> None:
    assert "<标语>" in referral_of("labour_arbitration", 11)["summary"]
    assert " & " in referral_of("labour_arbitration", 11)["summary"]
    permit = referral_of("labour_arbitration", 13)["parties"][0]["id"]
    assert permit["type"] == "residence_permit"


def test_a_reference_twice_with_the_same_content_is_a_warning_with_the_earlier_row() -> None:
    body = export("police_110").read_bytes().split(b"\r\n")

    (_, again) = tried(b"\r\n".join([body[0], body[1], body[1]]), "police_110")

    assert again.outcome == "warning"
    assert [each.rule for each in again.reasons] == ["repeats_row"]
    assert again.reasons[0].message.endswith("(row 1)")


# -- nobody's data in a reason ----------------------------------------------------------------

CANARY = "样秘密不可外传"


def said(outcome: Outcome) -> str:
    return " ".join(f"{reason.rule} {reason.message}" for reason in outcome.reasons)


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_reason_holds_a_value_of_its_row(name: str) -> None:
    for row, outcome in zip(sample_rows(name), outcomes(name), strict=True):
        items = [item for each in row.lists.values() for item in each]
        cells = [value for cells in (row.cells, *items) for value in cells.values()]
        texts = [str(value).strip() for value in cells]
        telling = [text for text in texts if len(text) > (5 if text.isdigit() else 1)]

        assert telling or row.fault
        assert not [text for text in telling if text in said(outcome) and text != "None"]
        columns = {reason.column for reason in outcome.reasons} - {None}
        assert columns <= set(shipped()[name].columns)


@pytest.mark.parametrize(
    "value",
    [CANARY, f"{CANARY}@" * 3000, 12345678901, True, 1.5, Decimal("5.2E+17"), None, "", "\x00"],
    ids=lambda value: type(value).__name__ + str(len(str(value))),
)
@pytest.mark.parametrize("name", LAYOUTS)
def test_no_value_in_any_column_stops_a_row_or_reaches_a_reason(name: str, value: Any) -> None:
    row, trial = sample_rows(name)[0], Trial(shipped()[name], places(), TODAY)
    changed = [replace(row, cells={**row.cells, column: value}) for column in row.cells]
    for listed, items in row.lists.items():
        for column in items[0] if items else ():
            other = [{**items[0], column: value}, *items[1:]]
            changed.append(replace(row, lists={**row.lists, listed: other}))

    for number, each in enumerate(changed, 1):
        outcome = trial.judge(replace(each, number=number))

        assert CANARY not in said(outcome)
        assert "12345678901" not in said(outcome)


def test_a_party_that_the_layout_does_not_take_is_told() -> None:
    row = sample_rows("grid_events")[0]
    third = [*row.lists["当事人[]"], {"姓名": CANARY}]
    trial = Trial(shipped()["grid_events"], places(), TODAY)

    outcome = trial.judge(replace(row, lists={"当事人[]": third}))

    assert [(r.column, r.rule) for r in outcome.reasons] == [("当事人[]", "party_left_out")]
    assert outcome.referral is not None
    assert len(outcome.referral["parties"]) == 2


def test_a_member_nobody_knows_is_told_without_its_name_and_not_kept() -> None:
    row = sample_rows("hotline_12345")[0]
    trial = Trial(shipped()["hotline_12345"], places(), TODAY)

    outcome = trial.judge(replace(row, cells={**row.cells, CANARY: "x"}))

    assert [(each.column, each.rule) for each in outcome.reasons] == [(None, "column_unknown")]
    assert CANARY not in json.dumps(outcome.referral, ensure_ascii=False)


def test_what_a_layout_gives_to_every_row_is_each_rows_own() -> None:
    raw = raw_layout("court_pre_export")
    raw["constants"]["/legal_context"] = {"mode": "delegate_pre"}
    trial = Trial(checked(raw), places(), TODAY)
    first, second = (sample_rows("court_pre_export")[at] for at in (0, 1))
    unnamed = replace(second, cells={**second.cells, "委派机构": ""})

    before, after = trial.examine(first), trial.examine(unnamed)

    assert before.document is not None
    assert after.document is not None
    assert "proposed_organisation" in before.document["legal_context"]
    assert "proposed_organisation" not in after.document["legal_context"]
    assert after.document["legal_context"]["mode"] == "delegate_pre"


def test_an_export_without_the_applicants_consent_is_refused_by_its_column() -> None:
    """Checklist 1.8: an empty cell records nothing; the row says column, rule and what mends it."""
    text = export("court_pre_export").read_text("utf-8-sig").splitlines()
    text[1] = text[1].replace(",是,", ",,", 1)

    (outcome,) = tried("\n".join(text[:2]).encode("utf-8-sig"), "court_pre_export")

    (reason,) = outcome.reasons
    assert outcome.outcome == "refused"
    assert (reason.column, reason.rule) == ("原告是否同意诉前调解", "consent_not_recorded")
    assert "L-03" in reason.message
