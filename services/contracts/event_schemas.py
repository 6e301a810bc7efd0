"""A JSON Schema and a recorded sample per event class."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.clock import wire
from services.events.envelope import EventSpec

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_BY_PATTERN: Final = {
    "^[0-9]{6}-[A-Z]{2}-[0-9]{4}$": "330681-CT-0001",
    "^LD[0-9]{4}-[0-9]{6}-[0-9]{7}-[0-9A-Z]$": "LD2026-330681-0000123-B",
    "^L[MR][0-9]{4}-[0-9]{6}-[0-9]{7}-[0-9A-Z]$": "LR2026-330681-0000124-9",
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}$": "2026-08-14",
}
_BY_NAME: Final = {
    "place": "330681101003",
    "reference": "2026-0702-0001",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "media_type": "application/pdf",
    "due_on": "2026-08-14",
    "until_on": "2026-08-14",
    "number": "LR2026-330681-0000001-X",
    "topic": "agency.o-330681-ct-0001.in",
    "connection": "o-330681-ct-0001",
    "lane": "court_pre",
    "from_lane": "court_pre",
    "to_lane": "court_post",
    "organisation": "330681-CT-0001",
    "pointer": "/parties/0",
    "citation": "民诉法 205",
    "rule": "DL-CT-05",
    "channel": "api",
    "dispute_type": "lending",
    "dispute_subtype": "private_lending",
    "preferred_mode": "in_person",
    "reason": "completed",
    "outcome": "agreed_written",
    "ground": "not_competent",
    "on_expiry": "info",
    "step": "four_fifths",
    "effect_rule": "both_parties_signed",
    "kind": "payment",
    "remedy": "sue",
    "remedie": "sue_on_performance",
    "sector": "traffic",
    "recipient_kind": "party",
    "purpose": "session_scheduled",
    "legal_basis": "人民警察法",
}


def schema(spec: EventSpec) -> dict[str, Any]:
    """The payload's JSON Schema with what the wire does not carry.

    Closed enums are marked; a slug is an open one. Unknown members are to be ignored by readers.
    """
    document = spec.model.model_json_schema(mode="validation")
    _mark_enums(document)
    return {
        "$schema": DIALECT,
        "$id": f"urn:liandiao:schema:{spec.type}",
        **document,
        "x-type": spec.type,
        "x-owner": spec.owner,
        "x-audience": list(spec.audience),
        "x-emitted-when": spec.emitted_when,
        "x-source": spec.source,
        "x-personal-data": spec.personal_data,
    }


def _mark_enums(node: Any) -> None:
    if isinstance(node, dict):
        if "enum" in node:
            node["x-enum"] = "closed"
        elif str(node.get("pattern", "")).startswith("^[a-z]["):
            node["x-enum"] = "open"
        for value in node.values():
            _mark_enums(value)
    elif isinstance(node, list):
        for value in node:
            _mark_enums(value)


def sample(spec: EventSpec) -> dict[str, Any]:
    """A whole record of this event, every optional member set; the same on every run."""
    document = spec.model.model_json_schema(mode="validation")
    data = _value("", document, document.get("$defs", {}), itertools.count(1))
    data = spec.model.model_validate(data).model_dump(mode="json", exclude_none=True)
    source = "intake" if spec.owner == "*" else spec.owner
    return {
        "key": data["case_id"],
        "headers": {
            "content-type": "application/json; charset=utf-8",
            "ce_specversion": "1.0",
            "ce_id": "019f1f00-0000-7000-8000-0000000000ff",
            "ce_source": f"/{source}",
            "ce_type": spec.type,
            "ce_subject": data["case_id"],
            "ce_time": "2026-07-15T01:30:00.000Z",
            "ce_recordedtime": "2026-07-15T01:30:00.120Z",
            "ce_sequence": "0000000007",
            "ce_episode": "1",
            "ce_causationid": "019f1f00-0000-7000-8000-0000000000fe",
            "ce_correlationid": "019f1f00-0000-7000-8000-0000000000fd",
            "ce_dataschema": f"urn:liandiao:schema:{spec.type}",
            "ce_traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        },
        "data": data,
    }


def _value(name: str, node: dict[str, Any], defs: dict[str, Any], count: Iterator[int]) -> Any:
    if "$ref" in node:
        return _value(name, defs[node["$ref"].rsplit("/", 1)[1]], defs, count)
    if "anyOf" in node:
        choice = next(option for option in node["anyOf"] if option.get("type") != "null")
        return _value(name, choice, defs, count)
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return node["enum"][0]
    kind = node.get("type")
    if kind == "object":
        return {
            member: _value(member, inner, defs, count)
            for member, inner in node.get("properties", {}).items()
        }
    if kind == "array":
        return [_value(name.removesuffix("s"), node["items"], defs, count)]
    if kind == "boolean":
        return True
    if kind == "integer":
        return 4_500_000 if name.endswith("_fen") else max(1, int(node.get("minimum", 1)))
    return _text(name, node, next(count))


def _text(name: str, node: dict[str, Any], number: int) -> str:
    if node.get("format") == "uuid":
        return f"019f1f00-0000-7000-8000-{number:012x}"
    if node.get("format") == "date-time":
        return wire(datetime(2026, 7, 15, 1, 30, tzinfo=UTC) + timedelta(minutes=number))
    if name in _BY_NAME:
        return _BY_NAME[name]
    return _BY_PATTERN.get(str(node.get("pattern")), f"{name or 'member'}")
