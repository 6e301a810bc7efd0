"""Rows of this room as REST shows them."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from intake.keys import Keys
from intake.rights import handlers, rules
from intake.vault import canonical

_CERTIFIED: Final = (
    "erasure_id", "case_id", "case_number", "party_id", "ground", "requested_by", "organisation",
    "decided_by", "parties", "done", "stays", "occurred_at", "decided_at", "certified_at",
)  # fmt: skip


def request(row: Any, keys: Keys | None) -> dict[str, Any]:
    """A party's request; opened when the keys are given."""
    found = dict(row)
    found["answer"] = None
    if keys is not None:
        found |= handlers.opened_request(keys, row)
    return found


def erasure(row: Any, case_number: str) -> dict[str, Any]:
    """An erasure; the certificate's hash once every service has obeyed."""
    found = {
        **dict(row),
        "case_number": case_number,
        "citation": rules.data()["grounds"][row["ground"]]["source"],
        "sha256": None,
    }
    if row["certified_at"] is not None:
        text = canonical({name: _text(found[name]) for name in _CERTIFIED})
        found["sha256"] = hashlib.sha256(text).hexdigest()
    found["stays"] = what_stays(row["stays"], rules.data()["stays"])
    return found


def what_stays(codes: Iterable[str], known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a certificate says is kept, each with the law that keeps it."""
    return [
        {
            "code": code,
            **{name: known[code][name] for name in ("zh", "en")},
            "citation": known[code]["source"],
        }
        for code in codes
    ]


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [str(item) for item in value]
    return value if value is None or isinstance(value, str | dict) else str(value)
