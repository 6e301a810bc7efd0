"""Every member of every request body: one that is not listed is refused with its pointer, and one
of the wrong kind too; nothing of such a request is stored."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.access import contract
from tests.access.conftest import Place
from tests.access.installation import SCOPES
from tests.access.requests import REQUESTS, Asked, about
from tests.access.scenes import Scene
from tests.access.test_matrix import ACCESS, scene_of

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="session")]

# Not the form of RFC 6749, which ignores what it does not know (section 3.2), nor what has no body.
WRITES = sorted(
    name
    for name, (_, operation) in contract.operations().items()
    if name.startswith("POST")
    and "application/json" in operation.get("requestBody", {}).get("content", {})
    # A sender's own file, which is read later, row by row.
    and name != "POST /v1/imports"
)
# The canonical referral keeps what nobody knows, with a warning (samples/bad, 27).
TOLERANT = "POST /v1/referrals"
# Referrals in a body are looked at as such, each apart: what is wrong with one does not refuse it.
HOLDS_REFERRALS = {
    "POST /v1/incidents": "referrals",
    "POST /v1/matters/{matter_id}/conversions": "",
}
KIND = "committee"
# What only a court does is asked about the court's own case.
OF_A_COURT = {"POST /v1/confirmations/{confirmation_id}/decisions"}
STRANGE = "unexpected_member"


def _headers(place: Place, name: str, scene: Scene) -> dict[str, str]:
    """Somebody who may."""
    allowed = ACCESS[name]["allow"][0]
    if ACCESS[name]["scope"] == "anonymous":
        return {}
    if ACCESS[name]["scope"] == "party token":
        return scene.party_token
    if allowed == "operator":
        return place.it.token("operator", [], SCOPES["operator"])
    standing = "handler" if allowed == "*" else allowed
    head = place.it.of(scene.organisation(standing))
    if ACCESS[name]["scope"] == "decision:write":
        scopes = ["decision:write"]
        code = scene.organisation(standing)
        head = place.it.token(f"o-{code.lower()}", [code], scopes)
    return head


def _objects(node: Any, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a body with the pointer to it."""
    if isinstance(node, dict):
        yield pointer, node
        for key, value in node.items():
            yield from _objects(value, f"{pointer}/{key}")
    if isinstance(node, list):
        for number, value in enumerate(node):
            yield from _objects(value, f"{pointer}/{number}")


def _members(name: str) -> list[str]:
    service, operation = contract.operations()[name]
    content = operation["requestBody"]["content"]["application/json"]["schema"]
    schema = content.get("anyOf", [content])[0]
    if "$ref" in schema:
        components = contract.openapi.all_documents()[service]["components"]["schemas"]
        schema = components[schema["$ref"].rsplit("/", 1)[1]]
    return sorted(schema["properties"])


async def _rows(place: Place) -> dict[str, int]:
    found = {}
    for name, runtime in place.it.runtimes.items():
        tables = [t for t in runtime.service.schema().metadata.tables if t != "receipt_try"]
        counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in tables)
        row = await runtime.pool.fetchrow(f"SELECT {counts}")
        found |= {f"{name}.{table}": count for table, count in row.items()}
    return found


async def _send(place: Place, name: str, scene: Scene, asked: Asked, body: Any) -> Any:
    service, _ = contract.operations()[name]
    headers = _headers(place, name, scene)
    return await place.it.call(
        service, "POST", asked.path, body, headers=headers, version=asked.version
    )


@pytest.mark.parametrize("name", [n for n in WRITES if n not in (TOLERANT, *HOLDS_REFERRALS)])
async def test_a_member_that_is_not_listed_is_refused_with_its_pointer(
    place: Place, name: str
) -> None:
    scene = scene_of(place, name, "court" if name in OF_A_COURT else KIND)
    asked = REQUESTS[name](about(scene))
    before = await _rows(place)
    tried = 0
    for pointer, _ in list(_objects(asked.body)):
        body = deepcopy(asked.body)
        dict(_objects(body))[pointer][STRANGE] = 1
        answer = await _send(place, name, scene, asked, body)
        tried += 1
        assert answer.status_code == 422, (pointer, answer.text)
        pointers = {fault["pointer"] for fault in answer.json()["errors"]}
        assert any(p.startswith(pointer) for p in pointers), (pointer, pointers)
        assert STRANGE not in answer.json().get("detail", "")

    assert tried > 0
    assert await _rows(place) == before


async def test_a_referral_keeps_an_unknown_member_with_a_warning_and_tells_nobody(
    place: Place,
) -> None:
    scene = place.open["court"]
    document = deepcopy(scene.document)
    document["source"]["reference"] = "STRANGE-2026-0001"
    document[STRANGE] = "样例庭"
    answer = await place.it.ok(
        "intake", "POST", "/v1/referrals", document, headers=place.it.of(scene.sender)
    )
    told = await place.it.runtimes["intake"].pool.fetch(
        "SELECT data FROM outbox WHERE key = $1", answer["case_id"]
    )

    warnings = {(warning["pointer"], warning["code"]) for warning in answer["warnings"]}
    assert (f"/{STRANGE}", "unknown_field") in warnings
    assert len(told) >= 2
    assert not [row for row in told if STRANGE.encode() in row["data"]]


@pytest.mark.parametrize("name", WRITES)
async def test_a_member_of_the_wrong_kind_is_refused_with_its_pointer(
    place: Place, name: str
) -> None:
    scene = scene_of(place, name, "court" if name in OF_A_COURT else KIND)
    asked = REQUESTS[name](about(scene))
    before = await _rows(place)
    for member in _members(name):
        if member == HOLDS_REFERRALS.get(name):
            continue
        body = {**deepcopy(asked.body), member: [{"no": ["such", {"kind": 1}]}]}
        answer = await _send(place, name, scene, asked, body)
        assert answer.status_code == 422, (member, answer.text)
        pointers = {fault["pointer"] for fault in answer.json()["errors"]}
        assert any(pointer.startswith(f"/{member}") for pointer in pointers), (member, pointers)

    assert await _rows(place) == before


async def test_answers_to_all_of_this_kept_to_their_schema(place: Place) -> None:
    assert place.it.faults == {}
