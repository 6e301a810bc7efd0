"""Every event has its source and audience, and none can carry what belongs to a person."""

from pathlib import Path
from typing import Any

import pytest

from services.events import load_catalogue
from services.events.envelope import EventSpec
from tests.architecture.source import words

CATALOGUE = sorted(load_catalogue().values(), key=lambda spec: spec.type)
AUDIENCES = {"source", "handler", "linked", "supervisor", "connection", "organisation"}

# Members that would carry a person's data, by any word of their names.
PERSONAL = set(Path(__file__).with_name("personal_words.txt").read_text("utf-8").split())
# Each exception says why the member can hold nothing of a party.
EXCEPTIONS = {
    ("AnswerProblem", "title"): "fixed per problem, ours",
}
# Strings that are neither an id, an instant, a code by pattern nor a closed list.
FREE_STRINGS = {
    ("*", "organisation"): "code of the directory",
    ("*", "reference"): "the sender's own number, checked for form at the door",
    ("*", "connection"): "name of a technical system",
    ("*", "place"): "code of a division",
    ("*", "dispute_subtype"): "code of a list that senders may extend",
    ("*", "sha256"): "a hash",
    ("*", "handover_sha256"): "a hash",
    ("*", "due_on"): "a day",
    ("*", "changed"): "names of members, never values",
    ("Deadline", "rule"): "code of deadlines.csv or of lanes.json",
    ("Deadline", "citation"): "the statute, from our data",
    ("DocumentRef", "media_type"): "closed list at the door",
    ("CaseRegistered", "preferred_mode"): "closed list at the door",
    ("AssignmentOffered", "preferred_mode"): "closed list at the door",
    ("AssignmentOffered", "rules"): "codes of our rules",
    ("CommandAnswered", "command_id"): "an id",
    ("CommandAnswered", "command_type"): "a type as sent, when it is one",
    ("CommandAnswered", "topic"): "one of our topics",
    ("AnswerRefusal", "citation"): "the statute, from our data",
    ("AnswerProblem", "*"): "a problem never holds a caller's value (contracts section 6)",
    ("AnswerError", "*"): "a problem never holds a caller's value (contracts section 6)",
}


def _members(spec: EventSpec) -> list[tuple[str, str, dict[str, Any]]]:
    schema = spec.model.model_json_schema()
    parts = {spec.name: schema, **schema.get("$defs", {})}
    return [
        (owner, name, node)
        for owner, part in parts.items()
        for name, node in part.get("properties", {}).items()
    ]


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda s: s.name)
def test_an_event_says_who_when_why_and_for_whom(spec: EventSpec) -> None:
    assert spec.owner in {"intake", "routing", "mediation", "notification", "*"}
    assert spec.audience
    assert set(spec.audience) <= AUDIENCES
    assert len(spec.emitted_when) > 10
    assert spec.source
    assert spec.personal_data == "none"
    assert (spec.model.__doc__ or "").strip()
    assert spec.type.startswith("liandiao.")
    assert spec.type.endswith(".v1")


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda s: s.name)
def test_no_member_of_an_event_is_personal_by_name(spec: EventSpec) -> None:
    found = [
        f"{owner}.{name}"
        for owner, name, _ in _members(spec)
        if words(name) & PERSONAL and (owner, name) not in EXCEPTIONS
    ]

    assert found == []


def _free(node: dict[str, Any]) -> bool:
    if "anyOf" in node:
        return any(_free(option) for option in node["anyOf"])
    if node.get("type") == "array":
        return _free(node.get("items", {}))
    return node.get("type") == "string" and not {"format", "pattern", "enum", "const"} & set(node)


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda s: s.name)
def test_no_member_of_an_event_takes_free_text(spec: EventSpec) -> None:
    """A string is an id, an instant, a code or a closed list, or says here why it is harmless."""
    found = [
        f"{owner}.{name}"
        for owner, name, node in _members(spec)
        if _free(node) and not {(owner, name), ("*", name), (owner, "*")} & set(FREE_STRINGS)
    ]

    assert found == []


def test_instants_end_in_at_and_days_in_on() -> None:
    found = [
        f"{spec.name}.{name}"
        for spec in CATALOGUE
        for _, name, node in _members(spec)
        for kind in [node, *node.get("anyOf", [])]
        if kind.get("format") == "date-time"
        and not name.endswith("_at")
        and name
        not in ("accept_by", "ask_by", "settle_by", "answer_by", "decide_by", "expected_until")
    ]

    assert found == []
