"""The committed contracts are current, readable, and only change compatibly."""

import copy
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from services import contracts
from services.contracts import compatible, event_schemas, openapi
from services.events import load_catalogue
from services.events.envelope import payload

EVENTS = contracts.ROOT / contracts.FOLDER / "events"
CATALOGUE = load_catalogue()
SAMPLES = sorted(EVENTS.glob("*.sample*.json"))


@lru_cache
def _files() -> dict[Path, str]:
    return contracts.build()


def test_the_committed_contracts_are_current() -> None:
    assert [str(path) for path in contracts.stale(files=_files())] == []


def test_nothing_changed_incompatibly() -> None:
    assert contracts.incompatible(files=_files()) == []


def test_every_event_has_a_schema_and_a_sample() -> None:
    for type_ in CATALOGUE:
        assert (EVENTS / f"{type_}.schema.json").exists()
        assert (EVENTS / f"{type_}.sample.json").exists()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.name)
def test_every_recorded_sample_is_still_read(path: Path) -> None:
    """Samples are never rewritten: what was ever written stays readable for ever."""
    record = json.loads(path.read_text(encoding="utf-8"))
    model = CATALOGUE[record["headers"]["ce_type"]].model

    read = model.model_validate(record["data"])

    assert payload(read).items() >= {"case_id": record["key"]}.items()
    assert set(payload(read)) == set(record["data"])


@pytest.mark.parametrize("spec", CATALOGUE.values(), ids=lambda s: s.name)
def test_a_sample_fits_its_schema_and_the_size_limit(spec) -> None:
    record = event_schemas.sample(spec)

    jsonschema_rs.validator_for(event_schemas.schema(spec)).validate(record["data"])
    assert len(json.dumps(record["data"]).encode()) < 64 * 1024


@pytest.mark.parametrize("spec", CATALOGUE.values(), ids=lambda s: s.name)
def test_a_reader_ignores_members_it_does_not_know(spec) -> None:
    data = {**event_schemas.sample(spec)["data"], "from_a_later_release": {"a": 1}}

    assert "from_a_later_release" not in payload(spec.model.model_validate(data))


OFFERED = event_schemas.schema(CATALOGUE["liandiao.assignment.offered.v1"])


def _changed(change) -> list[str]:
    new: dict[str, Any] = copy.deepcopy(OFFERED)
    change(new)
    return compatible.event(OFFERED, new)


def test_an_added_optional_member_is_fine() -> None:
    assert _changed(lambda s: s["properties"].update(hint={"type": "string"})) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda s: s["properties"].pop("place"), "place was removed"),
        (lambda s: s["properties"].update(place={"type": "integer"}), "place changed its type"),
        (lambda s: s["required"].append("sector"), "sector is newly required"),
        (lambda s: s["properties"]["refusal_kind"]["enum"].pop(), "refusal_kind lost values"),
        (
            lambda s: s["$defs"]["Party"]["properties"].pop("role"),
            "parties[].role was removed",
        ),
        (
            lambda s: s["properties"]["refusal_kind"]["enum"].append("x"),
            "refusal_kind is a closed list and gained values",
        ),
    ],
)
def test_an_incompatible_change_of_an_event_is_refused(change, fault: str) -> None:
    assert fault in _changed(change)


def _api() -> dict[str, Any]:
    return {
        "paths": {
            "/v1/a": {
                "post": {
                    "requestBody": {
                        "content": {
                            "application/json": {"schema": {"required": ["x"], "properties": {}}}
                        }
                    },
                    "responses": {
                        "201": {
                            "content": {
                                "application/json": {"schema": {"$ref": "#/components/schemas/A"}}
                            }
                        }
                    },
                }
            }
        },
        "components": {"schemas": {"A": {"properties": {"b": {"type": "string"}}}}},
    }


def test_the_same_api_is_compatible_with_itself() -> None:
    for document in openapi.all_documents().values():
        assert compatible.openapi(document, document) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda d: d["paths"].pop("/v1/a"), "POST /v1/a was removed"),
        (
            lambda d: d["components"]["schemas"]["A"]["properties"].pop("b"),
            "POST /v1/a 201.b was removed",
        ),
        (
            lambda d: d["paths"]["/v1/a"]["post"]["requestBody"]["content"]["application/json"][
                "schema"
            ]["required"].append("y"),
            "POST /v1/a request.y is newly required",
        ),
    ],
)
def test_an_incompatible_change_of_an_api_is_refused(change, fault: str) -> None:
    new = _api()
    change(new)

    assert compatible.openapi(_api(), new) == [fault]


def test_the_descriptions_are_openapi_3_1() -> None:
    for document in openapi.all_documents().values():
        assert document["openapi"].startswith("3.1.")
        assert document["info"]["license"]["identifier"] == "Apache-2.0"


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [r for value in node.values() for r in _references(value)]
    if isinstance(node, list):
        return [r for value in node for r in _references(value)]
    return []


@pytest.mark.parametrize(
    "path",
    [
        "asyncapi.json",
        *(f"openapi-{n}.json" for n in ("intake", "routing", "mediation", "notification")),
    ],
)
def test_every_reference_in_a_contract_leads_somewhere(path: str) -> None:
    document = json.loads(_files()[contracts.FOLDER / path])

    for reference in _references(document):
        if reference.startswith("#/"):
            node = document
            for part in reference[2:].split("/"):
                node = node[part.replace("~1", "/").replace("~0", "~")]
        else:
            assert contracts.FOLDER / reference.removeprefix("./") in _files(), reference


def test_asyncapi_names_every_event_and_every_topic() -> None:
    document = json.loads(_files()[contracts.FOLDER / "asyncapi.json"])

    named = {message["name"] for message in document["components"]["messages"].values()}

    assert set(CATALOGUE) <= named
    assert {c["address"] for c in document["channels"].values()} == {
        "cases",
        "directory",
        "agency.{connection}.in",
        "agency.{connection}.out",
    }
