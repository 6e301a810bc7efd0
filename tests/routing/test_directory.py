"""Directory, tokens, connections: import changes only what differs, secrets are never kept."""

import base64
import json

import pytest

from routing import directory_import, keys
from routing.seed import seed
from routing.wiring import ROUTING
from services.errors import Invalid
from services.runtime import Runtime
from tests.routing.world import COMMITTEE, COURT, POLICE, SAMPLES, World

pytestmark = pytest.mark.postgres


async def test_seeding_again_changes_nothing(world: World) -> None:
    before = await world.runtime.pool.fetchval("SELECT count(*) FROM outbox")

    answer = await seed(world.runtime, SAMPLES)

    assert set(answer.values()) == {0}
    assert await world.runtime.pool.fetchval("SELECT count(*) FROM outbox") == before


async def test_the_directory_counts_mediators_and_names_nobody(world: World) -> None:
    rows = await world.runtime.pool.fetch("SELECT key, data FROM outbox WHERE topic = 'directory'")
    values = {row["key"]: json.loads(row["data"]) for row in rows}
    staff = json.loads((SAMPLES / "directory.json").read_text(encoding="utf-8"))["staff"]

    assert values[f"organisation:{COMMITTEE}"]["mediators"] == 1
    assert values[f"organisation:{COURT}"]["connections"] == [f"o-{COURT.lower()}"]
    assert values["calendar:2027"]["status"] == "projected"
    assert all(value["version"] > 0 for value in values.values())
    everything = json.dumps(list(values.values()), ensure_ascii=False)
    assert [person["name"] for person in staff if person["name"] in everything] == []


@pytest.mark.parametrize("way", ["basic", "form"])
async def test_a_client_gets_a_token_for_its_secret(world: World, way: str) -> None:
    name, secret = f"o-{COURT.lower()}", f"secret-of-{COURT}"
    form, headers = {"grant_type": "client_credentials"}, {}
    if way == "basic":
        pair = base64.b64encode(f"{name}:{secret}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    else:
        form |= {"client_id": name, "client_secret": secret}

    answer = await world.http.post("/oauth/token", data=form, headers=headers)

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    claims, use = await world.runtime.tokens.claims(body["access_token"])
    assert use == "token"
    assert claims["organisations"] == [COURT]
    assert set(body["scope"].split()) == set(claims["scopes"].split())
    found = await world.http.get(
        f"/v1/organisations/{COURT}",
        headers={"Authorization": f"Bearer {body['access_token']}"},
    )
    assert found.json()["kind"] == "court"


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"client_id": "nobody", "client_secret": "x"}, 401, "invalid_client"),
        ({"client_id": "o-330681-ct-0001", "client_secret": "x"}, 401, "invalid_client"),
        (
            {
                "client_id": "o-330681-ct-0001",
                "client_secret": f"secret-of-{COURT}",
                "scope": "queue:write",
            },
            400,
            "invalid_scope",
        ),
    ],
)
async def test_other_tokens_are_refused(
    world: World, form: dict[str, str], status: int, error: str
) -> None:
    answer = await world.http.post(
        "/oauth/token", data={"grant_type": "client_credentials", **form}
    )

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_fewer_scopes_can_be_asked_for(world: World) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": f"o-{COURT.lower()}",
        "client_secret": f"secret-of-{COURT}",
        "scope": "case:read",
    }

    body = (await world.http.post("/oauth/token", data=form)).json()

    assert body["scope"] == "case:read"


async def test_only_a_hash_of_a_secret_is_kept(world: World) -> None:
    rows = await world.runtime.pool.fetch("SELECT client::text AS text FROM client")

    assert rows
    assert not any("secret-of" in row["text"] for row in rows)


async def test_the_signing_key_is_made_once_and_published_without_its_private_half(
    world: World,
) -> None:
    key = keys.signing_key(world.runtime)
    path = world.folder / "keys" / keys.NAME

    assert keys.load_or_make(world.folder / "keys").kid == key.kid
    assert path.stat().st_mode & 0o777 == 0o600
    published = (await world.http.get("/oauth/jwks")).json()["keys"]
    assert [item["kid"] for item in published] == [key.kid]
    assert all("d" not in item for item in published)


async def test_an_import_takes_over_what_differs(own_world: World) -> None:
    world = own_world
    more = {"by": "operator", "scopes": "directory:write directory:read connection:read"}
    body = {
        "organisations": [
            {
                "code": "330681-CM-0099",
                "name_zh": "新设调解委员会",
                "kind": "committee",
                "place": "330681001000",
                "dispute_types": ["contract"],
                "lanes": ["court_pre"],
                "capacity": 5,
                "mediators": 2,
            }
        ]
    }

    first = await world.ok("POST", "/v1/directory/imports", body, **more)
    second = await world.ok("POST", "/v1/directory/imports", body, **more)

    assert first["organisations"] == ["330681-CM-0099"]
    assert second["organisations"] == []
    await world.runtime.refresh_directory()
    found = await world.ok("GET", "/v1/organisations/330681-CM-0099", **more)
    assert found["mediators"] == 2
    body["organisations"][0] |= {"place": "990000000000", "parent": "990000-CM-0001"}
    assert await world.refused("POST", "/v1/directory/imports", body, **more) == (
        422,
        "unknown_place",
    )
    assert (await world.call("POST", "/v1/directory/imports", body)).status_code == 403


async def test_lists_of_the_directory_have_pages(world: World) -> None:
    seen, more = [], {}
    while True:
        page = await world.ok("GET", "/v1/organisations", limit=30, **more)
        seen += [item["code"] for item in page["items"]]
        if page["next"] is None:
            break
        more = {"cursor": page["next"]}

    assert len(seen) == len(set(seen)) == 89
    assert seen == sorted(seen)
    courts = await world.ok("GET", "/v1/organisations", kind="court")
    assert {item["kind"] for item in courts["items"]} == {"court"}
    assert (await world.ok("GET", "/v1/places/330681001000"))["parent"] == "330681000000"
    assert (await world.ok("GET", "/v1/calendars/2026"))["status"] == "official"
    assert (await world.call("GET", "/v1/calendars/2031")).status_code == 404


async def test_a_connection_sees_itself_and_an_operator_all(world: World) -> None:
    own = await world.ok("GET", "/v1/connections")
    every = await world.ok("GET", "/v1/connections", by="operator", scopes="connection:read")

    assert [item["name"] for item in own["items"]] == [f"o-{COURT.lower()}"]
    assert len(every["items"]) == 2
    other = await world.call("GET", f"/v1/connections/o-{POLICE.lower()}")
    assert other.status_code == 404


async def test_a_connection_is_added_with_a_secret_told_once(own_world: World) -> None:
    world = own_world
    entry = await directory_import.add_connection(world.runtime, "a-system", [COMMITTEE], True)

    form = {
        "grant_type": "client_credentials",
        "client_id": entry["id"],
        "client_secret": entry["secret"],
    }
    body = (await world.http.post("/oauth/token", data=form)).json()
    assert "queue:write" in body["scope"]
    assert world.runtime.directory.connections_of(COMMITTEE) == ["a-system"]
    assert "a-system" in world.runtime.directory.kafka_connections()
    with pytest.raises(Invalid):
        await directory_import.add_connection(world.runtime, "b-system", ["990000-CM-1"], False)


async def test_everything_is_published_again_after_a_takeover(world: World) -> None:
    count = "SELECT count(*) FROM outbox WHERE topic = 'directory'"
    before = await world.runtime.pool.fetchval(count)

    await directory_import.republish(world.runtime)
    await directory_import.republish(world.runtime)

    after = await world.runtime.pool.fetchval(count)
    held = await world.runtime.pool.fetchval("SELECT count(*) FROM directory_entry")
    assert after - before == held - 1  # keys go out when they are made


async def test_a_second_process_finds_the_same_directory(world: World) -> None:
    other = await Runtime.open(ROUTING, world.runtime.settings)
    try:
        assert other.directory.place_chain("330681001000")[0] == "330681001000"
        assert keys.signing_key(other).kid == keys.signing_key(world.runtime).kid
    finally:
        await other.close()


async def test_rules_are_public(world: World) -> None:
    sets = (await world.ok("GET", "/v1/rule-sets"))["items"]

    found = await world.ok("GET", f"/v1/rule-sets/{sets[0]['version']}")
    assert found == sets[0]
    assert all(rule["source"] for rule in found["rules"] + found["order"])
    assert (await world.call("GET", "/v1/rule-sets/none")).status_code == 404
