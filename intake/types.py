"""The tree of dispute types, by version: a referral keeps that of the day of its receipt. Pure."""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

DATA_FILE: Final = Path(__file__).parent / "data" / "types.json"


@lru_cache(1)
def versions() -> list[dict[str, Any]]:
    """Every version of the tree, oldest first."""
    found: list[dict[str, Any]] = json.loads(DATA_FILE.read_text("utf-8"))["versions"]
    return found


def in_force(on: date, known: list[dict[str, Any]] | None = None) -> dict[str, Any] | None:
    """The tree of that day (Asia/Shanghai); both ends count."""
    day = on.isoformat()
    return next(
        (
            tree
            for tree in reversed(versions() if known is None else known)
            if tree["valid_from"] <= day <= (tree["valid_to"] or "9999")
        ),
        None,
    )


@lru_cache(256)
def _validator(schema: str) -> Any:
    return jsonschema_rs.validator_for(json.loads(schema), validate_formats=True)


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value is one of this schema of a detail."""
    return bool(_validator(json.dumps(schema)).is_valid(value))


def detail_schemas(name: str, codes: frozenset[str] | None = None) -> list[dict[str, Any]]:
    """The schema of a detail in each type that has it, of every version; ``codes``: of these types
    alone. Empty: no type has it."""
    return [
        type_["schema"]["properties"][name]
        for tree in versions()
        for type_ in tree["types"]
        if (codes is None or type_["code"] in codes) and name in type_["schema"]["properties"]
    ]


DIFFERS: Final = "type_detail_differs"


def findings(
    tree: Mapping[str, Any] | None, type_: str, details: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Details that do not fit the type's schema: (member, rule).

    One that the schema knows and that breaks it is a fault (``DIFFERS``); one that the schema does
    not know is kept with a doubt (decision 17).
    """
    found = next((t for t in (tree or {}).get("types", ()) if t["code"] == type_), None)
    if found is None:
        return
    known = found["schema"]["properties"]
    for name, value in details.items():
        if name not in known:
            yield name, "type_detail_unknown"
        elif not fits(value, known[name]):
            yield name, DIFFERS
