"""Every operation has its scope, its access row and its declared problems."""

import json
from functools import lru_cache
from typing import Any

from services.contracts import openapi
from tests.architecture.source import ROOT

ACCESS = json.loads((ROOT / "deploy/access.json").read_text(encoding="utf-8"))["operations"]
SCOPES = json.loads((ROOT / "deploy/scopes.json").read_text(encoding="utf-8"))


@lru_cache
def _operations() -> dict[str, dict[str, Any]]:
    return {name: operation for _, name, operation in openapi.operations(openapi.all_documents())}


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    assert sorted(set(_operations()) - set(ACCESS)) == []
    assert sorted(set(ACCESS) - set(_operations())) == []


def test_the_row_names_the_scope_the_code_asks_for() -> None:
    found = {
        name: (openapi.scope_of(operation), ACCESS[name]["scope"])
        for name, operation in _operations().items()
        if openapi.scope_of(operation) != ACCESS[name]["scope"]
    }

    assert found == {}


def test_every_row_says_who() -> None:
    assert [name for name, row in ACCESS.items() if len(row["who"]) < 5] == []


def test_somebody_holds_every_scope() -> None:
    held = {
        scope
        for group in (*SCOPES["sets"].values(), *SCOPES["services"].values(), SCOPES["operator"])
        for scope in group
    }
    asked = {
        scope
        for row in ACCESS.values()
        if row["scope"] not in ("anonymous", "party token")
        for scope in row["scope"].split()
    }

    assert sorted(asked - held) == []


def test_every_operation_declares_its_problems_and_says_what_it_does() -> None:
    found = [
        name
        for name, operation in _operations().items()
        if not operation.get("summary")
        or not any(
            "application/problem+json" in answer.get("content", {})
            for answer in operation["responses"].values()
        )
    ]

    assert found == []


def test_no_two_services_share_a_path() -> None:
    paths = [
        path
        for document in openapi.all_documents().values()
        for path in document["paths"]
        if not path.startswith("/health")
    ]

    assert len(paths) == len(set(paths))


def test_urls_are_plural_nouns_under_v1() -> None:
    found = [name for name in _operations() if "/v1/" not in name and "/oauth/" not in name]

    assert found == []
