"""JSON as intake takes it, at each boundary and one step over it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intake.strict_json import MAX_BYTES, MESSAGES, StrictJsonError, parse


def refusal(body: bytes) -> tuple[str, str, int]:
    with pytest.raises(StrictJsonError) as caught:
        parse(body)
    return caught.value.rule, caught.value.pointer, caught.value.status


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ("empty_body", "", 400)),
        (b" \n", ("empty_body", "", 400)),
        (b"\xff", ("not_utf8", "", 400)),
        (b"\xed\xa0\x80", ("not_utf8", "", 400)),
        (b"\xef\xbb\xbf{}", ("not_json", "", 400)),
        (b"{", ("not_json", "", 400)),
        (b'{"a":1}x', ("not_json", "", 400)),
        (b'{"a":1,}', ("not_json", "", 400)),
        (b'{"a":[1,]}', ("not_json", "/a/1", 400)),
        (b'{"a":01}', ("not_json", "/a", 400)),
        (b'{"a":NaN}', ("not_json", "/a", 400)),
        (b'{"a":[0,-Infinity]}', ("not_json", "/a/1", 400)),
        (b'{"a":1e999}', ("number_out_of_range", "/a", 400)),
        (b'{"a":' + b"9" * 2000 + b"}", ("number_out_of_range", "/a", 400)),
        (b'{"a":{"b":1,"b":1}}', ("duplicate_key", "/a/b", 400)),
        (b'{"a":1,"\\u0061":1}', ("duplicate_key", "/a", 400)),
        (b'{"a":"\\u0000"}', ("control_character", "/a", 400)),
        (b'{"a":"x\x00"}', ("control_character", "/a", 400)),
        (b'{"a":"\\ud800"}', ("lone_surrogate", "/a", 400)),
        (b'{"a":"\\x"}', ("not_json", "/a", 400)),
        (b"[" * 33 + b"]" * 33, ("nesting_too_deep", "", 400)),
        (b'{"a":' * 33 + b"1" + b"}" * 33, ("nesting_too_deep", "/a" * 32, 400)),
        (b"[" * 200_000, ("nesting_too_deep", "", 400)),
        (b'"' + b"x" * MAX_BYTES + b'"', ("body_too_large", "", 413)),
    ],
)
def test_what_is_doubtful_is_refused_with_its_place(
    body: bytes, expected: tuple[str, str, int]
) -> None:
    assert refusal(body) == expected
    assert expected[0] in MESSAGES


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 32 + b"]" * 32,
        b'"' + b"x" * (MAX_BYTES - 2) + b'"',
        b'{"a":"\\ud83d\\ude00"}',
        b'[{"a":1},{"a":1}]',
        b"-0.5e-3",
        '{"名":"\U00020bb7"}'.encode(),
    ],
)
def test_what_is_at_the_boundary_is_taken(body: bytes) -> None:
    assert parse(body) == json.loads(body)


def test_a_key_that_could_be_data_is_not_in_the_pointer() -> None:
    assert refusal(b'{"19900000101":1,"19900000101":2}') == ("duplicate_key", "", 400)


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**60), 2**60)
        | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0")), inner)
        ),
        max_leaves=20,
    )
)
def test_whatever_the_library_writes_is_read_back(value: object) -> None:
    found, rule = outcome(json.dumps(value).encode())

    assert (rule is None and found == value) or rule == "nesting_too_deep"


def outcome(body: bytes) -> tuple[object, str | None]:
    """The value, or the rule by which the bytes were refused."""
    try:
        return parse(body), None
    except StrictJsonError as error:
        return None, error.rule


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_by_rule(body: bytes) -> None:
    _, rule = outcome(body)

    assert rule is None or rule in MESSAGES
