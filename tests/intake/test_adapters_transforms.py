"""Each transformation of the closed list at its boundaries."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from intake.adapters.layout import Column, Transformation
from intake.adapters.places import DirectoryFolder
from intake.adapters.transforms import CellFault, Surroundings, apply, clean, is_figure
from tests.intake.adapters import places

ADAPTER: TypeAdapter[Any] = TypeAdapter(Transformation)
ON = date(2026, 11, 20)
YMD = {"as": "date", "form": "YYYY-MM-DD"}
SERIAL = {"as": "serial_day", "text_form": "YYYY.MM.DD"}
HOURS = {"as": "instant", "form": "YYYY/MM/DD HH:mm:ss"}
FIVE = {"as": "count", "at_most": 5, "beyond": "too_many"}
FLAG = {"as": "flag", "true": "是", "false": "否"}


def done(by: dict[str, Any], value: Any) -> tuple[Any, list[str]]:
    """The result (a moment as ISO text, a fault as its rule) and the warnings."""
    warned: list[str] = []
    try:
        found = apply(ADAPTER.validate_python(by), value, Surroundings(places(), ON, warned.append))
    except CellFault as fault:
        return fault.rule, warned
    return (found.isoformat() if isinstance(found, datetime) else found), warned


CASES: list[tuple[dict[str, Any], Any, Any, list[str]]] = [
    ({"as": "text"}, " 甲 ", " 甲 ", []),
    ({"as": "text"}, 7, "not_a_text", []),
    ({"as": "first_sentence"}, "甲乙。丙丁。", "甲乙。", []),
    ({"as": "first_sentence"}, "甲\n乙", "甲 乙", []),
    ({"as": "first_sentence"}, "甲" * 201, "甲" * 200, []),
    ({"as": "list"}, "甲；乙", ["甲；乙"], []),
    ({"as": "list", "separator": "；"}, "甲； ；乙", ["甲", "乙"], []),
    ({"as": "list", "member": "reference"}, "甲", [{"reference": "甲"}], []),
    (YMD, "2026-11-02", "2026-11-02T00:00:00+08:00", []),
    (YMD, "2024-02-29", "2024-02-29T00:00:00+08:00", []),
    (YMD, "2026-02-29", "not_a_date", []),
    (YMD, "2026-13-01", "not_a_date", []),
    (YMD, "2026-1-02", "not_a_date", []),
    (YMD, "２０２６-11-02", "not_a_date", []),
    (YMD, "2026-11-02 08:00:00", "not_a_date", []),
    ({"as": "date", "form": "YYYYMMDD"}, "20260230", "not_a_date", []),
    ({"as": "date", "form": "YYYYMMDD"}, 20260228, "not_a_text", []),
    (HOURS, "2026/11/02 23:59:59", "2026-11-02T23:59:59+08:00", []),
    (HOURS, "2026/11/02 24:00:00", "not_a_date", []),
    (HOURS, "2026/11/02", "not_a_date", []),
    ({"as": "epoch_ms"}, 1793628600000, "2026-11-02T22:10:00+08:00", []),
    ({"as": "epoch_ms"}, 1794377400, "2026-11-11T14:10:00+08:00", ["epoch_in_seconds"]),
    ({"as": "epoch_ms"}, 10**11, "1973-03-03T17:46:40+08:00", []),
    ({"as": "epoch_ms"}, 10**9 - 1, "not_a_date", []),
    ({"as": "epoch_ms"}, 4_102_444_800_000, "not_a_date", []),
    ({"as": "epoch_ms"}, -1, "not_a_date", []),
    ({"as": "epoch_ms"}, True, "not_a_date", []),
    ({"as": "epoch_ms"}, "1793628600000", "not_a_date", []),
    (SERIAL, 59, "1900-02-28T00:00:00+08:05:43", []),
    (SERIAL, 60, "not_a_date", []),
    (SERIAL, 61, "1900-03-01T00:00:00+08:05:43", []),
    (SERIAL, 46328, "2026-11-02T00:00:00+08:00", []),
    (SERIAL, 2_958_465, "9999-12-31T00:00:00+08:00", []),
    (SERIAL, 2_958_466, "not_a_date", []),
    (SERIAL, 0, "not_a_date", []),
    (SERIAL, Decimal("46328.5"), "not_a_date", []),
    (SERIAL, "2026.11.07", "2026-11-07T00:00:00+08:00", ["date_is_text"]),
    (SERIAL, "46328", "not_a_date", []),
    ({"as": "serial_day"}, "2026.11.07", "not_a_date", []),
    ({"as": "yuan_to_fen"}, "33700.00", 3370000, []),
    ({"as": "yuan_to_fen"}, "0.1", 10, []),
    ({"as": "yuan_to_fen"}, "0", 0, []),
    ({"as": "yuan_to_fen"}, "-5", -500, []),
    ({"as": "yuan_to_fen"}, "1.230", 123, []),
    ({"as": "yuan_to_fen"}, "1.005", "amount_not_whole_fen", []),
    ({"as": "yuan_to_fen"}, "约6万元", "amount_not_a_number", []),
    ({"as": "yuan_to_fen"}, "33,700.00", "amount_not_a_number", []),
    ({"as": "yuan_to_fen"}, "３３７００", "amount_not_a_number", []),
    ({"as": "yuan_to_fen"}, "1e3", "amount_not_a_number", []),
    ({"as": "yuan_to_fen"}, 123456789012345678, 12345678901234567800, []),
    ({"as": "yuan_to_fen"}, Decimal("33700.5"), 3370050, []),
    ({"as": "yuan_to_fen"}, Decimal("1E+999999999"), "amount_not_a_number", []),
    ({"as": "yuan_to_fen"}, Decimal("NaN"), "amount_not_a_number", []),
    ({"as": "yuan_to_fen"}, True, "amount_not_a_number", []),
    (FIVE, 5, 5, []),
    (FIVE, "5", 5, []),
    (FIVE, 6, "too_many", []),
    (FIVE, 0, 0, []),
    (FIVE, -1, "not_a_count", []),
    (FIVE, "五", "not_a_count", []),
    (FIVE, Decimal("1.5"), "not_a_count", []),
    ({"as": "count"}, 10**6, 10**6, []),
    (FLAG, "是", True, []),
    (FLAG, "否", False, []),
    (FLAG, "不详", "code_unknown", []),
    ({"as": "place_by_name"}, "浙江省诸暨市枫桥镇齐东村样例路1号", "330681109292", []),
    ({"as": "place_by_name"}, "诸暨市枫桥镇", "330681109000", []),
    ({"as": "place_by_name"}, "浙江省绍兴市诸暨市枫桥镇无此村", "330681109000", []),
    ({"as": "place_by_name"}, "浙江省诸暨市", "330681000000", []),
    ({"as": "place_by_name"}, "浙江省杭州市下城区样例路5号", "330103000000", []),
    ({"as": "place_by_name"}, "浙江省", "place_not_found", []),
    ({"as": "place_by_name"}, "外省", "place_not_found", []),
    ({"as": "place_by_name"}, "枫桥镇", "place_not_found", []),
    ({"as": "place_filled_up"}, "330681109292", "330681109292", []),
    ({"as": "place_filled_up"}, "330681121", "330681121000", []),
    ({"as": "place_filled_up"}, "330681", "330681000000", ["place_county_only"]),
    ({"as": "place_filled_up"}, "3306", "place_not_found", []),
    ({"as": "place_filled_up"}, "330681109777", "place_not_found", []),
    ({"as": "place_filled_up"}, 330681, "not_a_text", []),
    ({"as": "place_cell"}, "330681109293002", "330681109293002", []),
    ({"as": "place_cell"}, "330681109293999", "330681109293", ["grid_cell_unknown"]),
    ({"as": "place_cell"}, "330681109888001", "place_not_found", []),
    ({"as": "place_cell"}, "330681109293", "place_not_found", []),
]


@pytest.mark.parametrize(("by", "value", "result", "warnings"), CASES)
def test_a_cell_becomes_its_value_or_a_fault(
    by: dict[str, Any], value: Any, result: Any, warnings: list[str]
) -> None:
    assert done(by, value) == (result, warnings)


def test_every_transformation_of_the_closed_list_has_its_boundaries_here() -> None:
    kinds = get_args(get_args(Transformation)[0])
    names = {get_args(kind.model_fields["kind"].annotation)[0] for kind in kinds}

    assert names == {by["as"] for by, *_ in CASES}


@pytest.mark.parametrize(
    ("value", "steps", "result"),
    [
        ("\t3306", ("strip_guard",), ("3306", False)),
        ("\t3306", (), ("\t3306", False)),
        ("\t\t3306", ("strip_guard",), ("\t3306", False)),
        ("(2026)浙", ("full_width_brackets",), ("（2026）浙", True)),
        ("(2026)浙", (), ("(2026)浙", False)),
        ("（2026）浙", ("full_width_brackets",), ("（2026）浙", False)),
        (" \u3000", (), (None, False)),
        ("", (), (None, False)),
        (0, (), (0, False)),
    ],
)
def test_a_guard_and_half_width_brackets_go_only_where_the_layout_says(
    value: Any, steps: tuple[str, ...], result: tuple[Any, bool]
) -> None:
    assert clean(value, Column.model_validate({"clean": steps})) == result


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("3.30681E+17", True),
        ("3.30681e17", True),
        ("３.３E+17", True),
        ("330681198404040037", False),
        ("33068119840404003X", False),
        ("91330681000001556Q", False),
    ],
)
def test_a_number_that_a_spreadsheet_made_a_figure_of_is_known(text: str, figure: bool) -> None:
    assert is_figure(text) is figure


def test_a_name_that_two_places_have_is_not_guessed_but_one_in_force_goes_before_an_old_one() -> (
    None
):
    def county(code: str, valid_to: str | None = None) -> dict[str, Any]:
        return {"code": code, "parent": None, "name": "样县", "level": "county",
                "valid_from": None, "valid_to": valid_to}  # fmt: skip

    both = DirectoryFolder([], [county("1"), county("2")])
    one = DirectoryFolder([], [county("1"), county("2", "2021-04-08")])

    assert both.by_name("样县", ON) == ["1", "2"]
    assert one.by_name("样县", ON) == ["1"]
    assert one.by_name("样县", date(2021, 4, 8)) == ["1", "2"]
