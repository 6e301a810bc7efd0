"""How personal data is known again: numbers by their check digit, canaries in every guise."""

import json

import pytest

from services.verify.patterns import MOBILE, RESIDENT, Canaries, is_resident_number
from tests.chaos.people import People

VALID = "330681198404040038"


def test_a_residents_number_is_one_by_its_day_and_its_check_digit() -> None:
    assert is_resident_number("11010519491231002X")
    assert not is_resident_number("110105194912310021")
    assert not is_resident_number("110105194913310020")


@pytest.mark.parametrize("around", ["{}", '"{}"', "身份证{}。", "={}&"])
def test_a_residents_number_is_seen_in_any_text(around: str) -> None:
    assert RESIDENT.search(around.format(VALID).encode())


@pytest.mark.parametrize("around", ["{}0", "a{}", "9{}"])
def test_a_part_of_a_longer_number_or_word_is_none(around: str) -> None:
    assert not RESIDENT.search(around.format(VALID).encode())


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("13812345678", True),
        ("电话13812345678", True),
        ('"phone":"19912345678"', True),
        ("12812345678", False),
        ("138123456789", False),
        ('"claim_fen":13812345678', False),
        ("0.13812345678", False),
        ("01a20cc4-f6fa-713f-94b0-13812345678f", False),
    ],
)
def test_a_mobile_number_has_eleven_digits_and_is_no_sum(text: str, seen: bool) -> None:
    assert bool(MOBILE.search(text.encode())) is seen


@pytest.mark.parametrize(
    "dressed",
    [
        "张三丰".encode(),
        json.dumps({"n": "张三丰"}).encode(),
        json.dumps(json.dumps("张三丰")).encode(),
        b"\\\\x00" + "张三丰".encode().hex().encode() + b"ff",
    ],
)
def test_a_canary_is_found_plain_escaped_and_in_hexadecimal(dressed: bytes) -> None:
    canaries = Canaries(["李四", "张三丰"])

    assert [number for number, _ in canaries.found(b"... " + dressed)] == [2]


def test_canaries_that_begin_alike_are_told_apart() -> None:
    canaries = Canaries(["abc", "abcd", "abx"])

    assert [number for number, _ in canaries.found(b"abx abcd abc")] == [3, 2, 1]


def test_no_canary_is_found_where_none_is() -> None:
    everybody = [value for person in People().everybody for value in person.canaries]

    assert list(Canaries(everybody).found("诸暨市人民法院 LD2026-330681".encode())) == []
    assert list(Canaries([]).found(b"anything")) == []


def test_everybody_of_the_town_has_a_valid_number() -> None:
    assert all(is_resident_number(person.number) for person in People().everybody)
