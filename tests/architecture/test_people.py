"""Nothing here scores, colours, labels or lists a person (design section 10)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.contracts.openapi import all_documents
from services.events import load_catalogue
from services.service import NAMES, load
from tests.architecture.source import words

REFUSED = set(Path(__file__).with_name("refused_words.txt").read_text("utf-8").split())
# (where, member): why it is about no person.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("intake.duplicate_pair", "score"): "of a pair of files, for staff (docs/duplicates.md)",
    ("intake.DuplicateView", "score"): "of a pair of files, for staff (docs/duplicates.md)",
}


def _columns() -> Iterator[tuple[str, str]]:
    for name in NAMES:
        for table in load(name).schema().metadata.sorted_tables:
            yield f"{name}.{table.name}", table.name
            for column in table.columns:
                yield f"{name}.{table.name}", column.name


def _event_members() -> Iterator[tuple[str, str]]:
    for spec in load_catalogue().values():
        yield spec.name, spec.name
        schema = spec.model.model_json_schema()
        for part, node in {spec.name: schema, **schema.get("$defs", {})}.items():
            for member in node.get("properties", {}):
                yield part, member
            for value in node.get("enum", []):
                yield part, str(value)


def _api_members() -> Iterator[tuple[str, str]]:
    for service, document in all_documents().items():
        for path in document["paths"]:
            for part in path.strip("/").split("/"):
                yield f"{service} {path}", part.strip("{}")
        for name, schema in document["components"]["schemas"].items():
            for member in schema.get("properties", {}):
                yield f"{service}.{name}", member


@pytest.mark.parametrize(
    "members", [_columns, _event_members, _api_members], ids=lambda f: f.__name__
)
def test_no_member_scores_colours_labels_or_lists_a_person(members) -> None:
    found = [
        f"{where}: {member}"
        for where, member in members()
        if words(member) & REFUSED and (where, member) not in EXCEPTIONS
    ]

    assert found == []
