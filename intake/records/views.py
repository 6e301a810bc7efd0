"""Erasures of records as REST shows them."""

import hashlib
from typing import Any, Final

from intake.records.model import Record
from intake.rights.rules import data
from intake.rights.views import what_stays
from intake.vault import canonical
from services.clock import wire

_CERTIFIED: Final = (
    "record_erasure_id", "record_id", "kind", "number", "ground", "requested_by", "organisation",
    "decided_by", "stays", "occurred_at", "decided_at",
)  # fmt: skip


def erasure(row: Any, found: Record) -> dict[str, Any]:
    """An erasure and, once it was approved, its certificate."""
    answer = {
        **{name: value for name, value in row.items() if not name.endswith("acted_by")},
        "kind": found.kind,
        "number": found.number,
        "citation": data()["grounds"][row["ground"]]["source"],
        "left": {
            "code": found.ground or found.kind,
            "citation": found.citation,
            "place": found.place,
            "received_at": found.received_at,
            "recorded_at": found.recorded_at,
        },
        "sha256": None,
    }
    if row["state"] == "erased":
        text = canonical({name: _text(answer[name]) for name in _CERTIFIED})
        answer["sha256"] = hashlib.sha256(text).hexdigest()
    answer["stays"] = what_stays(row["stays"], data()["records"]["stays"])
    return answer


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [str(item) for item in value]
    if hasattr(value, "astimezone"):
        return wire(value)
    return value if value is None else str(value)
