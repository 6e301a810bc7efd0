"""Documents and phones: check characters, districts that are gone, numbers without a rule."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intake import identity, phones
from intake.validation import validate
from services.events import lanes
from tests.intake.world import NOW, directory, referral

TODAY = date(2026, 11, 24)
BODIES = st.builds(
    lambda region, born, serial: f"{region}{born:%Y%m%d}{serial:03d}",
    st.sampled_from(["330681", "330185", "522427", "110101", "810000", "820000", "830000"]),
    st.dates(date(1900, 1, 1), TODAY),
    st.integers(0, 999),
)
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@given(BODIES)
@settings(max_examples=100, deadline=None)
def test_a_right_number_passes_and_tells_date_and_gender(body: str) -> None:
    """checklist 1.10 (K-01)."""
    number = body + identity.check_character(body)

    found = identity.check_resident_id(number, today=TODAY)

    assert found.fault is None
    assert found.birth_date == date(int(body[6:10]), int(body[10:12]), int(body[12:14]))
    assert found.gender == ("male" if int(body[16]) % 2 else "female")


@given(BODIES, st.integers(0, 16), st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_one_wrong_digit_is_always_found(body: str, place: int, by: int) -> None:
    """checklist 1.10 (K-01): ISO 7064 MOD 11-2 finds every single error."""
    number = body + identity.check_character(body)
    wrong = str((int(number[place]) + by) % 10)

    found = identity.check_resident_id(f"{number[:place]}{wrong}{number[place + 1 :]}", today=TODAY)

    assert found.fault == "id_check_digit"


@given(BODIES, st.integers(0, 15))
@settings(max_examples=150, deadline=None)
def test_two_neighbours_that_changed_places_are_found(body: str, place: int) -> None:
    """checklist 1.10 (K-01)."""
    number = body + identity.check_character(body)
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]

    found = identity.check_resident_id(swapped, today=TODAY)

    assert (found.fault == "id_check_digit") == (swapped != number)


def credit_code(body: str) -> str:
    """The 18 characters for the first 17: weights 3^i mod 31 (GB 32100)."""
    total = sum(ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return body + ALPHABET[(31 - total) % 31]


@given(st.text(ALPHABET, min_size=8, max_size=8), st.integers(0, 16), st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_a_credit_code_is_right_or_one_character_off(tail: str, place: int, by: int) -> None:
    """checklist 1.10 (K-02), against the formula of the standard and not against the library."""
    right = credit_code("91330681" + tail + "X")
    changed = ALPHABET[(ALPHABET.index(right[place]) + by) % 31]
    wrong = f"{right[:place]}{changed}{right[place + 1 :]}"

    assert identity.check_uscc(right).fault is None
    assert identity.check_uscc(wrong).fault is not None


@pytest.mark.parametrize("code", ["913306810000012490", "113306810000202630"])
def test_the_codes_of_the_samples_follow_the_formula(code: str) -> None:
    assert credit_code(code[:17]) == code
    assert identity.check_uscc(code).fault is None


@pytest.mark.parametrize(
    ("code", "born", "doubt"),
    [
        ("330681", 1990, None),
        ("522427", 2011, None),
        ("522427", 2012, "id_region_abolished"),
        ("999999", 1990, "id_region_unknown"),
        ("810000", 1990, None),
    ],
)
def test_a_district_that_was_gone_before_the_birth_or_is_unknown_is_doubted_and_never_refused(
    code: str, born: int, doubt: str | None
) -> None:
    """checklist 1.10 (K-01)."""
    assert identity.region_doubt(code, born) == doubt


def test_a_district_younger_than_any_table_is_known_to_the_directory() -> None:
    body = "33011319900707000"
    document = referral()
    document["parties"][0]["id"] = {
        "type": "resident_id",
        "number": body + identity.check_character(body),
        "verified": True,
    }

    verdict = validate(document, directory(), lanes.may_send, NOW)

    assert not [w for w in verdict.warnings if w.code.startswith("id_region")]


@pytest.mark.parametrize(
    ("type_", "number", "doubts"),
    [
        ("hk_macau_permit", "H01234567", ()),
        ("hk_macau_permit", "M0123456701", ()),
        ("hk_macau_permit", "H0123", ("id_shape_unusual",)),
        ("taiwan_permit", "01234567", ()),
        ("taiwan_permit", "0123456789(B)", ()),
        ("taiwan_permit", "T1", ("id_shape_unusual",)),
        ("passport", "E12345678", ()),
        ("passport", "護照", ("id_shape_unusual",)),
        ("foreign_permanent_resident", "USA110085092201", ()),
        ("foreign_permanent_resident", "ABC", ("id_shape_unusual",)),
        ("foreign_permanent_resident", "911840198507070009", ("id_shape_unusual",)),
        ("military", "军字第1234567号", ()),
        ("other", "随便", ()),
    ],
)
def test_a_document_without_a_public_rule_is_kept_and_at_most_doubted(
    type_: str, number: str, doubts: tuple[str, ...]
) -> None:
    """checklist 1.10."""
    found = identity.check(type_, number, today=TODAY)

    assert (found.fault, found.doubts) == (None, doubts)


@pytest.mark.parametrize("prefix", sorted(identity.PERMIT_REGIONS))
def test_81_82_and_83_are_residence_permits_and_only_these(prefix: str) -> None:
    body = f"{prefix}19900707000"
    number = body + identity.check_character(body)

    assert identity.check("residence_permit", number, today=TODAY).doubts == ()
    assert identity.check("resident_id", number, today=TODAY).doubts == (
        "id_type_differs_from_number",
    )


def test_the_card_of_2023_tells_date_and_gender() -> None:
    body = "91184019850707001"
    found = identity.check(
        "foreign_permanent_resident", body + identity.check_character(body), today=TODAY
    )

    assert (found.birth_date, found.gender, found.doubts) == (date(1985, 7, 7), "male", ())


# -- phones


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("19900000101", "+8619900000101"),
        ("199 0000 0101", "+8619900000101"),
        ("+86 199-0000-0101", "+8619900000101"),
        ("0086-19900000101", "+8619900000101"),
        ("１９９０００００１０１", "+8619900000101"),
        ("0575-87010000", "+8657587010000"),
        ("(0575)8701 0000", "+8657587010000"),
        ("+86 575 87010000", "+8657587010000"),
        ("010-65000000转8012", "+861065000000;ext=8012"),
        ("0575-87010000 ext. 12", "+8657587010000;ext=12"),
        ("400-800-1234", "+864008001234"),
        ("12345", "+8612345"),
        ("+852 2810 2222", "+85228102222"),
        ("+1 (212) 555-0100", "+12125550100"),
        ("00852 28102222", "+85228102222"),
        ("没有", None),
        ("23", None),
        ("87010000", None),
    ],
)
def test_a_phone_is_one_number_however_it_is_written(text: str, form: str | None) -> None:
    """checklist 1.10: mobile, landline, +country, extension."""
    assert phones.normal(text) == form


@given(st.text(max_size=40))
@settings(max_examples=150, deadline=None)
def test_whatever_is_written_as_a_phone_is_kept(text: str) -> None:
    form = phones.normal(text)

    assert form is None or (form.startswith("+") and phones.normal(form.split(";")[0]) is not None)


@pytest.mark.parametrize(
    "name",
    [
        "陈",
        "阿依古丽·买买提",
        "阿依古丽•买买提",
        "𠮷𪭖",
        "龘䶮",
        "Aleksandr O’Neill",
        "娜仁其木格",
        "Ngũgĩ",
    ],
)
def test_names_of_every_kind_are_taken_as_they_are(name: str) -> None:
    """checklist 1.10: rare characters, middle dots, single names."""
    document = referral()
    document["parties"][0]["name"] = name

    verdict = validate(document, directory(), lanes.may_send, NOW)

    assert verdict.referral is not None
    assert verdict.referral.parties[0].name == name


@pytest.mark.parametrize(
    "document_of_party",
    [
        None,
        {"type": "none", "number": None, "reason": "证件遗失", "verified": False},
        {"type": "other", "number": "X-1", "reason": "难民证", "verified": False},
    ],
)
def test_a_missing_document_is_no_reason_to_refuse(document_of_party: dict | None) -> None:
    """checklist 1.10."""
    document = referral()
    document["parties"][0]["id"] = document_of_party

    assert validate(document, directory(), lanes.may_send, NOW).referral is not None
