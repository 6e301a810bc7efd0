"""Numbers, secrets, the vault's cryptography, sealing, and what travels of the legal context."""

import json
import string
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intake import case_number, identity, pointers, receipt, sealing
from intake.legal_context import travelling
from intake.vault import FileKeyProvider, SealBroken, Vault
from tests.intake.world import sample

TODAY = date(2026, 11, 16)
ONE, TWO = UUID(int=1), UUID(int=2)


# -- case numbers


def test_the_sample_of_the_contract_is_right() -> None:
    assert case_number.case_number(2026, "310105", 123) == "LD2026-310105-0000123-G"


@settings(max_examples=50, deadline=None)
@given(st.integers(2000, 2999), st.integers(0, 999999), st.integers(1, 9_999_999))
def test_a_number_reads_back_in_any_hand(year: int, county: int, serial: int) -> None:
    """Checklist 1.27."""
    number = case_number.case_number(year, f"{county:06d}", serial)

    assert case_number.fold(number.lower().replace("-", "")) == number
    wide = "".join(chr(ord(c) + 0xFEE0) if c != "-" else "－" for c in number)
    assert case_number.fold(wide) == number


def test_every_single_error_and_every_swap_of_neighbours_is_caught() -> None:
    number = "LD2026-310105-0000123-G"
    body = [n for n, char in enumerate(number) if char != "-" and n > 1]
    for at in body:
        for char in string.digits + string.ascii_uppercase:
            if char != number[at]:
                assert case_number.fold(number[:at] + char + number[at + 1 :]) is None
    plain = number.replace("-", "")
    for at in range(2, len(plain) - 1):
        swapped = plain[:at] + plain[at + 1] + plain[at] + plain[at + 2 :]
        assert swapped == plain or case_number.fold(swapped) is None


@pytest.mark.parametrize("serial", [0, 10_000_000])
def test_a_serial_has_seven_digits(serial: int) -> None:
    with pytest.raises(ValueError, match="seven digits"):
        case_number.case_number(2026, "310105", serial)


@pytest.mark.parametrize("text", ["", "x", "LD", "LD2026-310105-0000123", "9" * 100_000])
def test_what_is_no_number_is_none(text: str) -> None:
    assert case_number.fold(text) is None


# -- identity numbers


@pytest.mark.parametrize(
    ("number", "fault", "doubts"),
    [
        ("330681198404040038", None, ()),
        ("330681198404040039", "id_check_digit", ()),
        ("33068119840404003", "id_format", ()),
        ("330681198404040O38", "id_format", ()),
        ("330681840404003", None, ("id_first_generation",)),
        ("330681841304003", "id_date", ()),
    ],
)
def test_a_resident_number_is_checked(number: str, fault: str | None, doubts: tuple) -> None:
    found = identity.check_resident_id(number, today=TODAY)

    assert (found.fault, found.doubts) == (fault, doubts)


@pytest.mark.parametrize(
    ("body", "fault", "doubts"),
    [
        ("33011319900707000", None, ("id_region_unknown",)),  # of 2021: the directory knows it
        ("81000019900707000", None, ()),  # a residence permit
        ("99000019900707000", None, ("id_region_unknown",)),
        ("33068120261116000", None, ()),
        ("33068120261117000", "id_date", ()),
        ("33068119900230000", "id_date", ()),
    ],
)
def test_a_region_is_never_a_reason_to_refuse_but_a_date_is(
    body: str, fault: str | None, doubts: tuple
) -> None:
    found = identity.check_resident_id(body + identity.check_character(body), today=TODAY)

    assert (found.fault, found.doubts) == (fault, doubts)


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        ("913306810000012490", None),
        ("913306810000012491", "uscc_check_digit"),
        ("91330681000001249", "uscc_format"),
        ("91330681000001249I", "uscc_format"),
    ],
)
def test_a_credit_code_is_checked(number: str, fault: str | None) -> None:
    found = identity.check_uscc(number).fault

    assert (found is None) == (fault is None)


def test_numbers_fold_to_one_form() -> None:
    assert identity.fold_number(" 33068119840404００３x ") == "33068119840404003X"[:17] + "X"


# -- receipts


def test_a_secret_is_fifty_bits_that_a_repeat_gives_again() -> None:
    secret = receipt.secret(b"k" * 32, ONE, 1)

    assert len(secret) == 10
    assert secret == receipt.secret(b"k" * 32, ONE, 1)
    assert secret != receipt.secret(b"k" * 32, ONE, 2)
    assert secret != receipt.secret(b"k" * 32, TWO, 1)
    assert not set(secret) & set("ILOU")


def test_a_secret_may_be_typed_as_people_type() -> None:
    mark = receipt.secret_hash(b"k", ONE, "01AB2CDE3F")

    assert receipt.secret_hash(b"k", ONE, " oiab-2cde 3f") == mark
    assert receipt.secret_hash(b"k", TWO, "01AB2CDE3F") != mark


# -- the vault


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(FileKeyProvider(tmp_path))


def test_what_is_sealed_opens_in_its_own_place_alone(vault: Vault) -> None:
    sealed = vault.seal("party_vault", ONE, {"name": "甲", "phone": {"a": [1]}})

    key = (sealed.kek_id, sealed.wrapped_key)
    assert vault.open("party_vault", ONE, *key, {**sealed.fields, "address": None}) == {
        "name": "甲",
        "phone": {"a": [1]},
        "address": None,
    }
    for table, row, fields in (
        ("referral", ONE, sealed.fields),
        ("party_vault", TWO, sealed.fields),
        ("party_vault", ONE, {"name": sealed.fields["phone"]}),
        ("party_vault", ONE, {"name": sealed.fields["name"][:-1] + b"\0"}),
    ):
        with pytest.raises(SealBroken):
            vault.open(table, row, *key, fields)
    assert "甲".encode() not in sealed.fields["name"]


def test_a_new_kek_wraps_new_rows_and_old_ones_still_open(tmp_path: Path) -> None:
    old = Vault(FileKeyProvider(tmp_path))
    sealed = old.seal("t", ONE, {"name": "甲"})
    (tmp_path / "kek-2.kek").write_bytes(b"2" * 32)

    new = Vault(FileKeyProvider(tmp_path))

    assert new.keys.current_kek() == "kek-2"
    opened = new.open("t", ONE, sealed.kek_id, sealed.wrapped_key, sealed.fields)
    assert opened == {"name": "甲"}
    (tmp_path / "kek-1.kek").unlink()
    with pytest.raises(SealBroken):
        Vault(FileKeyProvider(tmp_path)).open(
            "t", ONE, sealed.kek_id, sealed.wrapped_key, sealed.fields
        )


def test_the_blind_index_finds_equals_per_field(vault: Vault) -> None:
    assert vault.blind("identity", "1") == vault.blind("identity", "1")
    assert vault.blind("identity", "1") != vault.blind("phone", "1")
    assert len(vault.blind("identity", "1")) == 16


def test_key_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    FileKeyProvider(tmp_path / "keys")

    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


# -- sealing


def test_what_a_sender_seals_we_open_byte_for_byte(tmp_path: Path) -> None:
    keys = sealing.SealingKeys(tmp_path)
    body = json.dumps(sample("court_pre"), ensure_ascii=False, indent=1).encode()

    token = sealing.seal(body, keys.public()[-1])

    assert keys.unseal(token) == body
    large = b"x" * sealing.MAX_PLAINTEXT
    assert keys.unseal(sealing.seal(large, keys.public()[-1])) == large
    assert sealing.SealingKeys(tmp_path).unseal(token) == body
    assert "d" not in keys.public()[0]


def test_what_is_not_sealed_to_us_is_refused_by_rule(tmp_path: Path) -> None:
    keys = sealing.SealingKeys(tmp_path / "one")
    other = sealing.SealingKeys(tmp_path / "two")
    token = sealing.seal(b"{}", keys.public()[0])
    broken = {
        None: "sealed_missing",
        "": "sealed_missing",
        "x": "sealed_broken",
        "a.b.c.d.e": "sealed_broken",
        token[:-6] + "AAAAAA": "sealed_broken",
        "\u00e9": "sealed_broken",
        sealing.seal(b"{}", other.public()[0]): "sealing_key_unknown",
        sealing.seal(b"x" * 190_001, keys.public()[0]): "sealed_too_large",
        "x" * 300_000: "sealed_too_large",
    }
    for text, rule in broken.items():
        with pytest.raises(sealing.CannotUnseal) as caught:
            keys.unseal(text)
        assert caught.value.rule == rule


# -- what travels, and what may be corrected


def test_only_days_booleans_and_closed_lists_travel() -> None:
    context = {
        "limitation_expires_on": "2028-01-20",
        "filed_on": "sometime",
        "joint_application": True,
        "suit_filed": "楼样明",
        "mode": "delegate_pre",
        "procedure": "楼样明",
        "protection_order": {"applied_on": "2026-10-18"},
        "court_case_number": "（2026）浙0681民诉前调1234号",
        "chosen_mediator": "330681-CM-0007",
    }

    assert travelling(context) == {
        "limitation_expires_on": "2028-01-20",
        "joint_application": True,
        "mode": "delegate_pre",
        "chosen_mediator": "330681-CM-0007",
    }


@pytest.mark.parametrize(
    ("pointer", "fault"),
    [
        ("/title", None),
        ("/parties/0/phone", None),
        ("/parties/0/representative/phone", None),
        ("/parties/-", None),
        ("/legal_context/fee_agreed", None),
        ("/source/reference", "pointer_fixed"),
        ("/source/organisation", "pointer_fixed"),
        ("/request_made_at", "pointer_fixed"),
        ("/lane", "pointer_fixed"),
        ("/parties/0/role", "pointer_fixed"),
        ("/parties/0", "pointer_unknown"),
        ("/parties", "pointer_unknown"),
        ("", "pointer_unknown"),
        ("title", "pointer_unknown"),
        ("/title" + "/x" * 200, "pointer_unknown"),
    ],
)
def test_what_a_correction_may_change(pointer: str, fault: str | None) -> None:
    assert pointers.fault_of(pointer) == fault


def test_a_correction_leaves_the_old_document_alone() -> None:
    old = sample("court_pre")

    new, errors = pointers.apply(old, [("/parties/0/phone", "1"), ("/parties/9/phone", "1")])

    assert new["parties"][0]["phone"] == "1"
    assert old["parties"][0]["phone"] != "1"
    assert [(e.pointer, e.code) for e in errors] == [("/changes/1/pointer", "pointer_unknown")]
