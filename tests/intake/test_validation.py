"""The rules of a referral beyond the sample files: boundaries, folding, all faults at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from intake.messages import message
from intake.validation import county, normal_reference, read_instant, validate
from services.events import lanes
from tests.intake.world import NOW, SAMPLES, directory, referral, sample


def look(document: Any) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Errors and warnings as sets of (pointer, code)."""
    verdict = validate(document, directory(), lanes.may_send, NOW)
    for found in (*verdict.errors, *verdict.warnings):
        assert found.message == message(found.code)
    return (
        {(e.pointer, e.code) for e in verdict.errors},
        {(w.pointer, w.code) for w in verdict.warnings},
    )


def changed(*path: Any, to: Any, of: str = "court_pre-loan") -> dict[str, Any]:
    """A sample with one member replaced."""
    document = sample(of)
    node: Any = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = to
    return document


def test_all_faults_are_told_at_once() -> None:
    document = referral(lane="court_pre", claim_fen=-1, place="999999999999", channel="pigeon")
    document["parties"][0]["id"]["number"] = "330681198404040037"
    del document["title"]

    errors, _ = look(document)

    assert errors == {
        ("/claim_fen", "claim_negative"),
        ("/place", "place_unknown"),
        ("/channel", "channel_unknown"),
        ("/parties/0/id/number", "id_check_digit"),
        ("/title", "required"),
    }


@pytest.mark.parametrize("document", [None, 1, "x", [], [1], True])
def test_what_is_no_object_is_refused(document: Any) -> None:
    assert look(document)[0] == {("", "type")}


@pytest.mark.parametrize("name", sorted(referral()))
@pytest.mark.parametrize("value", [None, 1, 1.5, "x", [], {}, [None], [{}], {"a": []}, True])
def test_no_value_anywhere_at_the_top_breaks_the_rules(name: str, value: Any) -> None:
    look(referral(**{name: value}))


@pytest.mark.parametrize("name", sorted(referral()["parties"][0]))
@pytest.mark.parametrize("value", [None, 1, 1.5, "x", [], {}, [None], {"number": 1}, True])
def test_no_value_anywhere_in_a_party_breaks_the_rules(name: str, value: Any) -> None:
    look(changed("parties", 0, name, to=value))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, None),
        (10**15, None),
        (None, None),
        (10**15 + 1, "claim_too_large"),
        (10**30, "claim_too_large"),
        (-1, "claim_negative"),
        (1.0, "claim_not_integer"),
        (1e3, "claim_not_integer"),
        (True, "claim_not_integer"),
        ("42000", "claim_not_integer"),
    ],
)
def test_a_claim_is_whole_fen_within_the_limits(value: Any, code: str | None) -> None:
    errors, _ = look(referral(claim_fen=value))

    assert errors == ({("/claim_fen", code)} if code else set())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-11-16T10:00:00+08:00", None),
        ("2026-11-16T10:00:00.123456789Z", None),
        ("2026-11-16T10:00:00", "timestamp_without_zone"),
        ("2026-11-16", "timestamp_without_zone"),
        ("16.11.2026", "timestamp_format"),
        ("2026-02-30T10:00:00Z", "date_does_not_exist"),
        ("2026-11-16T25:00:00Z", "date_does_not_exist"),
        ("0001-01-01T00:00:00+08:00", "date_does_not_exist"),
        ("2026-11-16T10:00:00+99:99", "date_does_not_exist"),
    ],
)
def test_an_instant_has_a_zone_and_exists(text: str, code: str | None) -> None:
    errors, _ = look(changed("source", "received_at", to=text))

    assert errors == ({("/source/received_at", code)} if code else set())
    optional, _ = look(referral(occurred_at=text))
    assert {found for _, found in optional} == ({code} if code else set())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1984-04-04", None),
        ("1984-02-30", "date_does_not_exist"),
        ("2026-11-09", None),
        ("2026-11-10", "birth_date_in_future"),
        ("04.04.1984", "day_format"),
    ],
)
def test_a_birth_date_exists_and_is_not_after_receipt(text: str, code: str | None) -> None:
    document = changed("parties", 1, "birth_date", to=text)
    document["parties"][1]["id"] = None

    errors, _ = look(document)

    assert errors == ({("/parties/1/birth_date", code)} if code else set())


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("甲\u202e乙", {"bidi_control"}),
        ("甲\u2066乙", {"bidi_control"}),
        ("甲\x1b乙", {"control_character"}),
        ("甲\x9f\u202e乙", {"control_character", "bidi_control"}),
        ("甲\n乙", {"control_character"}),
        ("", {"text_empty"}),
        ("甲" * 100, set()),
        ("甲" * 101, {"text_too_long"}),
        ("阿依古丽·买买提", set()),
        ("=cmd|'/c calc'!A1", set()),
    ],
)
def test_a_name_is_any_script_without_controls(text: str, codes: set[str]) -> None:
    errors, _ = look(changed("parties", 1, "name", to=text))

    assert errors == {("/parties/1/name", code) for code in codes}


def test_nobody_asked_only_when_the_sender_acts_by_itself() -> None:
    assert look(referral(request_made_at=None))[0] == {
        ("/request_made_at", "request_made_at_missing")
    }
    document = referral(request_made_at=None)
    document["legal_context"]["proactive"] = True
    assert look(document)[0] == set()


@pytest.mark.parametrize(
    ("code", "error", "warning"),
    [
        ("330681", "format", None),
        ("330681999000", "place_unknown", None),
        ("330103000000", None, "place_not_in_force"),
        ("330681999000001", "place_unknown", None),
        ("330681001005999", None, "grid_cell_unknown"),
    ],
)
def test_a_place_is_known_or_refused_and_an_old_one_is_doubted(
    code: str, error: str | None, warning: str | None
) -> None:
    errors, warnings = look(referral(place=code))

    assert errors == ({("/place", error)} if error else set())
    assert warnings == ({("/place", warning)} if warning else set())


def test_refs_lead_to_parties() -> None:
    document = sample("labor")
    document["legal_context"]["representatives"] = ["p1", "p77"]
    document["legal_context"]["per_worker_fen"]["p78"] = 1
    document["parties"][1]["ref"] = "p1"
    document["parties"][2]["represented_by"] = "p79"

    errors, _ = look(document)

    assert errors == {
        ("/legal_context/representatives/1", "party_ref_unknown"),
        ("/legal_context/per_worker_fen/p78", "party_ref_unknown"),
        ("/legal_context/per_worker_fen/p2", "party_ref_unknown"),
        ("/parties/1/ref", "party_ref_repeated"),
        ("/parties/2/represented_by", "party_ref_unknown"),
    }


def test_a_petition_has_five_representatives_at_most() -> None:
    document = sample("petition")
    person = document["parties"][0]
    document["parties"] += [{**person, "ref": f"p{n}", "id": None} for n in range(3, 8)]
    document["legal_context"]["representatives"] = ["p1", "p3", "p4", "p5", "p6"]
    assert look(document)[0] == set()

    document["legal_context"]["representatives"].append("p7")

    assert look(document)[0] == {("/legal_context/representatives", "too_many_representatives")}


@pytest.mark.parametrize(
    ("lane", "state", "refused"),
    [
        ("court_pre", "given", False),
        ("court_pre", "unknown", True),
        ("court_pre", "refused", True),
        ("pm", "unknown", False),
    ],
)
def test_a_delegation_without_the_applicants_recorded_consent_is_refused_with_its_citation(
    lane: str, state: str, refused: bool
) -> None:
    """Checklist 1.8: the message says how to mend it, in both languages."""
    document = referral(lane=lane)
    document["parties"][0]["consent"]["state"] = state

    errors, warnings = look(document)

    assert (("/parties/0/consent", "consent_not_recorded") in errors) is refused
    assert not {code for _, code in warnings if code.startswith("consent")}
    told = message("consent_not_recorded")
    assert "法释〔2016〕14号" in told
    assert "L-03" in told
    assert "以同一编号重新报送" in told
    assert "send the referral again under the same reference" in told


@pytest.mark.parametrize(
    ("states", "errors", "doubts"),
    [
        (("given", "given"), set(), set()),
        (("given", "unknown"), set(), {"/parties/2/consent"}),
        (("unknown", "given"), set(), {"/parties/0/consent"}),
        (("given", "refused"), {"/parties/2/consent"}, set()),
        (("unknown", "unknown"), {"/parties/0/consent", "/parties/2/consent"}, set()),
    ],
)
def test_of_several_applicants_one_must_have_consented_and_none_have_refused(
    states: tuple[str, str], errors: set[str], doubts: set[str]
) -> None:
    """Checklist 1.8: what the law leaves open is a warning."""
    document = referral()
    second = {**document["parties"][0], "ref": "p3", "id": None, "birth_date": None}
    document["parties"].append({**second, "consent": dict(second["consent"])})
    for place, state in zip((0, 2), states, strict=True):
        document["parties"][place]["consent"]["state"] = state

    found, warnings = look(document)

    assert {p for p, code in found if code == "consent_not_recorded"} == errors
    assert {p for p, code in warnings if code == "consent_to_be_asked"} == doubts
    assert {code for _, code in found} <= {"consent_not_recorded"}


def test_what_was_delegated_before_is_corrected_with_a_warning() -> None:
    """Checklist 1.8: a correction delegates nothing."""
    document = referral()
    document["parties"][0]["consent"]["state"] = "unknown"

    verdict = validate(document, directory(), lanes.may_send, NOW, consent_later=True)

    assert verdict.referral is not None
    assert ("/parties/0/consent", "consent_to_be_asked") in {
        (warning.pointer, warning.code) for warning in verdict.warnings
    }


def test_an_organisation_nobody_knows_is_refused() -> None:
    document = changed("source", "organisation", to="330681-CT-9999")

    assert look(document)[0] == {("/source/organisation", "organisation_unknown")}


def test_folding_is_told_and_reaches_the_vault() -> None:
    document = referral()
    document["parties"][0]["id"]["number"] = " ３３０６８１１９８４０４０４００３８"
    document["parties"][0]["phone"] = "１９９"

    verdict = validate(document, directory(), lanes.may_send, NOW)

    assert verdict.referral is not None
    assert verdict.referral.parties[0].identity_key == "resident_id:330681198404040038"
    assert verdict.referral.parties[0].phone == "199"
    assert document["parties"][0]["phone"] == "１９９"  # what the caller holds is left alone


def test_a_member_whose_name_could_be_data_is_not_repeated() -> None:
    _, warnings = look(referral(**{"19900000101": 1, "court_room": 1, "楼样明": 1}))

    assert warnings == {("/court_room", "unknown_field"), ("", "unknown_field")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("（2026）浙0681民初1号", "(2026)浙0681民初1号"),
        ("诸检民监〔2026〕1号", "诸检民监[2026]1号"),
        (" X 1 ", "X1"),
        ("ＡＢ１", "AB1"),
        # A court's (K-04): with the 第 of speech, without 号, padded, in full width.
        ("（2021）川0104民诉前调801号", "(2021)川0104民诉前调第801号"),
        ("（2021）川0104民诉前调801号", "〔2021〕川0104民诉前调0801"),
        ("(2024)浙02民诉前调595号", "（２０２４）浙０２民诉前调５９５號"),
        ("(2024)粤0604诉前调确1716号", "【2024】 粤0604 诉前调确 1716 号"),
        # The police's (K-05), a committee's (K-06).
        ("粤公粤(交警)受案字(2023)00680号", "粤公粤（交警）受案字〔2023〕第680号"),
        ("京朝公(建)受案字[2024]第1234号", "京朝公（建）受案字﹝2024﹞1234号"),
        ("晋医人调字[2019]011号", "晋医人调字〔2019〕11号"),
        # A petition's and a hotline's are opaque (K-07): capitals, dashes, what nobody sees.
        ("ZJ330681\u200b20261105000001", "zj33068120261105000001"),
        ("SX\u201320261105\u2013000123", "sx-20261105-000123"),
    ],
)
def test_a_reference_is_compared_as_one_number_however_it_is_written(one: str, other: str) -> None:
    """Checklist 1.1, "Numbers"."""
    assert normal_reference(one) == normal_reference(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(2026)浙0681民初1号", "(2026)浙0681民终1号"),
        ("(2026)浙0681民初12号", "(2026)浙0681民初12号之一"),
        ("(2026)浙0681民初1号", "(2025)浙0681民初1号"),
        ("(2024)浙02民初1号", "(2024)浙0201民初1号"),
        # Opaque numbers keep their zeros.
        ("SX000123", "SX123"),
        ("330681120260000005", "33068112026005"),
    ],
)
def test_other_numbers_stay_apart(one: str, other: str) -> None:
    assert normal_reference(one) != normal_reference(other)


@pytest.mark.parametrize(
    "path", sorted((SAMPLES / "referrals").glob("*.json")), ids=lambda path: path.stem
)
def test_folding_twice_is_folding_once(path: Path) -> None:
    once = normal_reference(json.loads(path.read_text("utf-8"))["source"]["reference"])

    assert once
    assert normal_reference(once) == once


def test_the_county_is_the_places_or_the_sources() -> None:
    assert county("330681001005", "330600-CE-0001", directory()) == "330681"
    assert county("000000000000", "330600-CE-0001", directory()) == "330600"


def test_instants_are_read_as_utc() -> None:
    assert read_instant("2026-11-16T00:30:00+08:00").isoformat() == "2026-11-15T16:30:00+00:00"


def test_the_concern_itself_never_travels_only_its_consequence() -> None:
    for name, allowed in (("police-boundary", False), ("medical", True), ("court_pre", True)):
        verdict = validate(sample(name), directory(), lanes.may_send, NOW)
        assert verdict.referral is not None
        assert verdict.referral.joint_sessions is allowed
