"""The lane data: complete, cited, and the document made from it current."""

import re
from pathlib import Path

import pytest

from services.events import lanes
from services.events.lanes import (
    END_CODES,
    LANES,
    REMEDIES,
    deadline,
    lane,
    remedies,
    sources_of,
    terms,
)

ROOT = Path(__file__).parents[2]
SILENCE = {"deemed_accepted", "reoffer", "return_to_source", "held_to_it", "escalate"}
EFFECTS = {
    "all_signatures_mediator_and_seal",
    "both_parties_signed",
    "last_e_signature",
    "oral_agreed",
    "none_until_court",
    "none",
}


def test_there_are_seventeen_lanes() -> None:
    assert set(LANES) == set(
        [
            "pm",
            "court_pre",
            "court_post",
            "court_exec",
            "police",
            "police_civil",
            "proc_crim",
            "proc_civil",
            "petition",
            "admin",
            "review",
            "medical",
            "traffic",
            "labor",
            "consumer",
            "property",
            "commercial",
        ]
    )


@pytest.mark.parametrize("code", LANES)
def test_every_number_of_a_lane_has_its_source(code: str) -> None:
    item = lane(code)

    assert item.window.source
    assert item.window.certainty
    assert item.on_silence in SILENCE
    assert item.on_silence_source
    assert item.effect.source
    assert {item.effect.paper, item.effect.online, item.effect.oral or "none"} <= EFFECTS
    assert item.refusal in {"return", "objection"}
    assert all(term.source and term.certainty and term.n > 0 for term in item.terms)
    assert item.written_source
    assert set(item.end_codes) <= set(END_CODES)


@pytest.mark.parametrize("code", LANES)
@pytest.mark.parametrize("outcome", END_CODES)
def test_every_ending_in_every_lane_has_remedies(code: str, outcome: str) -> None:
    assert remedies(code, outcome)


def test_every_remedy_and_end_code_is_cited() -> None:
    assert all(item.source for item in (*REMEDIES.values(), *END_CODES.values()))
    assert all(item.deadline is None or deadline(item.deadline) for item in REMEDIES.values())


@pytest.mark.parametrize(
    ("code", "window", "silence"),
    [
        ("court_pre", (3, "workday"), "reoffer"),
        ("court_post", (3, "workday"), "return_to_source"),
        ("petition", (5, "workday"), "held_to_it"),
        ("police_civil", (1, "workday"), "deemed_accepted"),
        ("pm", (3, "workday"), "escalate"),
        ("commercial", (3, "workday"), "escalate"),
        ("never_heard_of", (3, "workday"), "escalate"),
    ],
)
def test_silence_is_lane_data(code: str, window: tuple[int, str], silence: str) -> None:
    item = lane(code)

    assert (item.window.n, item.window.unit) == window
    assert item.on_silence == silence


def test_a_hotlines_orders_are_accepted_by_silence_and_refused_by_objection() -> None:
    item = lane("admin", "hotline")

    assert (item.on_silence, item.refusal) == ("deemed_accepted", "objection")
    assert lane("admin", "department").on_silence == "escalate"


@pytest.mark.parametrize(
    ("code", "facts", "expected"),
    [
        ("court_pre", {"dispute_type": "contract"}, ["DL-CT-05"]),
        ("court_post", {"procedure": "ordinary"}, ["DL-CT-06"]),
        ("court_post", {"procedure": "summary"}, ["DL-CT-07"]),
        ("pm", {"place": "330681109290"}, ["DL-PM-01"]),
        ("pm", {"place": "440305001000"}, ["DL-PM-02"]),
        ("court_pre", {"dispute_type": "medical"}, ["DL-CT-05", "DL-MD-01"]),
        ("medical", {"dispute_type": "medical", "handler_kind": "committee"}, ["DL-MD-01"]),
        ("medical", {"dispute_type": "medical", "handler_kind": "department"}, ["DL-MD-03"]),
        ("petition", {}, ["DL-PT-04"]),
        ("labor", {"dispute_type": "wage"}, ["DL-LB-01"]),
        ("never_heard_of", {}, [None]),
    ],
)
def test_the_terms_of_a_case(code: str, facts: dict[str, str], expected: list[str | None]) -> None:
    assert [term.deadline for term in terms(code, **facts)] == expected


@pytest.mark.parametrize(
    ("code", "kind", "allowed"),
    [
        ("court_pre", "committee", True),
        ("police", "committee", True),
        ("police", "police", False),
        ("court_post", "committee", False),
        ("court_exec", "centre", False),
        ("proc_crim", "committee", False),
        ("commercial", "commercial_mediator", True),
        ("admin", "government", False),
    ],
)
def test_confirmation_goes_by_the_handlers_kind_and_lane(
    code: str, kind: str, allowed: bool
) -> None:
    found = lane(code).confirmation_for(kind)

    assert found.allowed is allowed
    assert (found.deadline.id if found.deadline else None) == ("DL-JC-01" if allowed else None)


@pytest.mark.parametrize(
    ("code", "form", "kind", "rule"),
    [
        ("pm", "paper", "committee", "all_signatures_mediator_and_seal"),
        ("pm", "oral", "committee", "oral_agreed"),
        ("medical", "oral", "committee", "none"),
        ("court_pre", "paper", "committee", "both_parties_signed"),
        ("court_pre", "online", "committee", "last_e_signature"),
        ("police", "paper", "police", "both_parties_signed"),
        ("police", "paper", "committee", "all_signatures_mediator_and_seal"),
        ("court_post", "paper", "committee", "none_until_court"),
        ("proc_crim", "paper", "committee", "none"),
    ],
)
def test_the_effect_rule(code: str, form: str, kind: str, rule: str) -> None:
    assert lane(code).effect_for(form=form, handler_kind=kind) == rule


def test_the_table_of_lanes_is_current() -> None:
    path = Path(lanes.__file__).parents[2] / "docs" / "lanes.md"

    assert path.read_text(encoding="utf-8") == lanes.table()


def test_every_code_that_a_clock_may_cite_has_its_title_and_article() -> None:
    cited = [row.rule for row in lanes.DEADLINES.values()]
    for each in LANES.values():
        cited += [each.window.source, *(term.source for term in each.terms)]
        confirmation = each.confirmation_for("committee")
        cited += [confirmation.source, confirmation.ruling.rule]
    codes = {code for text in cited for code in re.findall(r"\b(?!DL)[A-Z]{1,2}-[0-9]+", text)}

    assert codes
    assert {code for code in codes if not sources_of(code)} == set()


def test_a_code_that_rests_on_two_texts_names_both_and_a_site_value_none() -> None:
    two = [(source.title[:3], source.article) for source in sources_of("L-08")]

    assert two == [("最高人", "27"), ("人民法", "24")]
    found = sources_of("民诉法 205; 人民调解法 33(1) (JC-1, R-26)")
    assert [source.code for source in found] == ["JC-1", "R-26"]
    assert sources_of("site value: law gives none") == ()
    assert sources_of("DL-JC-01") == ()


def test_every_source_is_one_of_the_legal_sources() -> None:
    told = (ROOT / "docs/legal-sources.md").read_text(encoding="utf-8")
    named = (lanes.DATA / "sources.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row for row in named if f"| {row.split(',')[0]} |" not in told] == []
