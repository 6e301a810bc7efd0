"""The directory: import what changed, publish it, publish it all again once a day."""

import csv
import hashlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from routing import directory_repository as repository
from services import calendar
from services.errors import FieldError, Invalid
from services.stack.identity import scopes_of
from services.unit_of_work import Actor, UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

Value = dict[str, Any]
REPUBLISH_SECONDS: Final = 24 * 3600
# Names of people stay out of the directory; an office and its number are no person.
_PERSONAL: Final = ("staff",)
_MEDIATES: Final = ("mediator", "lead_mediator")


async def publish(uow: UnitOfWork, entries: Mapping[str, Value]) -> None:
    """Put entries on the directory and into this service's own copy, in one transaction."""
    if not entries:
        return
    version = int(uow.now.timestamp() * 1_000_000)
    await repository.put_entries(uow.db, entries, version)
    for key, value in entries.items():
        uow.publish_directory(key, value, version=version)


async def take(uow: UnitOfWork, kind: str, values: Mapping[str, Value]) -> list[str]:
    """Store and publish those values of one kind that differ from what is held; their keys."""
    held = await repository.values_of(uow.db, kind)
    changed = {key: value for key, value in values.items() if held.get(key) != value}
    if changed:
        version = int(uow.now.timestamp() * 1_000_000)
        await repository.put(uow.db, kind, changed, version)
        await publish(uow, {f"{kind}:{key}": value for key, value in changed.items()})
    return sorted(changed)


def organisation_value(raw: Mapping[str, Any], mediators: int, connections: Iterable[str]) -> Value:
    """An organisation as the directory carries it: no person's data, its mediators as a number."""
    return {
        **{name: value for name, value in raw.items() if name not in _PERSONAL},
        "mediators": mediators,
        "connections": sorted(connections),
    }


def read_folder(folder: Path) -> dict[str, list[Value]]:
    """``directory.json`` and ``places.csv`` of a folder, and the calendars that are shipped."""
    raw = json.loads((folder / "directory.json").read_text(encoding="utf-8"))
    with (folder / "places.csv").open(encoding="utf-8", newline="") as file:
        places = [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]
    counted = Counter(
        person["organisation"] for person in raw.get("staff", ()) if person["role"] in _MEDIATES
    )
    return {
        "organisations": [
            {**item, "mediators": counted[item["code"]]} for item in raw["organisations"]
        ],
        "places": places,
        "calendars": [
            json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(calendar.DATA.glob("*.json"))
        ],
    }


async def import_values(uow: UnitOfWork, values: Mapping[str, list[Value]]) -> dict[str, Any]:
    """Import organisations, places and calendars; answers the keys that changed, by kind.

    An organisation without ``mediators`` keeps the number it had.
    """
    await uow.db.execute("SELECT pg_advisory_xact_lock(hashtext('directory'))")
    held = await repository.values_of(uow.db, "organisation")
    speakers: dict[str, set[str]] = {}
    for name, connection in (await repository.values_of(uow.db, "connection")).items():
        for code in connection["organisations"]:
            speakers.setdefault(code, set()).add(name)
    organisations = {
        item["code"]: organisation_value(
            item,
            int(item.get("mediators", held.get(item["code"], {}).get("mediators", 0)) or 0),
            speakers.get(item["code"], ()),
        )
        for item in values.get("organisations", ())
    }
    places = {item["code"]: item for item in values.get("places", ())}
    await _check(uow, held, organisations, places)
    years = {str(item["year"]): item for item in values.get("calendars", ())}
    answer = {
        "places": await take(uow, "place", places),
        "organisations": await take(uow, "organisation", organisations),
        "calendars": await take(uow, "calendar", years),
    }
    if answer["calendars"]:
        uow.enqueue("recompute-projected-clocks", {}, key=f"calendars-{uow.now.isoformat()}")
    uow.audit("directory.imported", detail={kind: len(keys) for kind, keys in answer.items()})
    return answer


async def _check(
    uow: UnitOfWork,
    held: Mapping[str, Value],
    organisations: Mapping[str, Value],
    places: Mapping[str, Value],
) -> None:
    """Raises ``Invalid`` where an organisation names a parent or place that nobody knows."""
    known_places = {**await repository.values_of(uow.db, "place"), **places}
    faults = []
    for n, item in enumerate(organisations.values()):
        if item["place"] not in known_places:
            pointer = f"/organisations/{n}/place"
            faults.append(
                FieldError(pointer, "unknown_place", "没有这个区划。/ the place is not known")
            )
        for name in ("parent", "established_by"):
            code = item.get(name)
            if code and code not in organisations and code not in held:
                pointer = f"/organisations/{n}/{name}"
                faults.append(
                    FieldError(
                        pointer, "unknown_organisation", "目录中没有这个机构。/ it is not known"
                    )
                )
    if faults:
        raise Invalid(errors=faults[:100])


async def import_directory(runtime: "Runtime", folder: Path) -> dict[str, Any]:
    """Import a folder; what is unchanged stays. Answers how much changed, by kind."""
    async with runtime.unit_of_work(actor=Actor("operator")) as uow:
        answer = await import_values(uow, read_folder(folder))
    await runtime.refresh_directory()
    return {kind: len(keys) for kind, keys in answer.items()}


# -- connections and clients ----------------------------------------------------------------------


def digest(secret: str) -> bytes:
    """What is kept of a secret. It is random and long, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


async def take_clients(uow: UnitOfWork, entries: list[Value]) -> dict[str, int]:
    """Store clients and the connections they belong to; what is unchanged stays."""
    held = await repository.clients(uow.db)
    rows = [
        {
            "id": entry["id"],
            "secret_sha256": digest(entry["secret"]),
            "connection": entry["connection"],
            "organisations": list(entry["organisations"]),
            "scopes": sorted(entry["scopes"]),
        }
        for entry in entries
    ]
    changed = [row for row in rows if held.get(row["id"]) != {**row, "active": True}]
    await repository.put_clients(uow.db, changed)
    connections: dict[str, Value] = {}
    for entry in entries:
        value = connections.setdefault(
            entry["connection"],
            {
                "name": entry["connection"],
                "organisations": [],
                "kafka": False,
                "scopes": [],
                "active": True,
            },
        )
        value["organisations"] = sorted({*value["organisations"], *entry["organisations"]})
        value["scopes"] = sorted({*value["scopes"], *entry["scopes"]})
        value["kafka"] = value["kafka"] or bool(entry.get("kafka"))
    taken = await take(uow, "connection", connections)
    return {"clients": len(changed), "connections": len(taken)}


async def add_connection(
    runtime: "Runtime", name: str, organisations: list[str], kafka: bool
) -> dict[str, Any]:
    """Register a connection with one client; the secret is told once and never stored."""
    secret = secrets.token_urlsafe(32)
    async with runtime.unit_of_work(actor=Actor("operator")) as uow:
        held = await repository.values_of(uow.db, "organisation")
        unknown = [code for code in organisations if code not in held]
        if unknown or not organisations:
            raise Invalid(
                errors=[
                    FieldError(
                        "/organisations",
                        "unknown_organisation",
                        "目录中没有这个机构。/ it is not known",
                    )
                ]
            )
        scopes = sorted(
            {
                scope
                for code in organisations
                for scope in scopes_of(held[code]["kind"], held[code].get("roles") or [])
            }
        )
        entry = {
            "id": name,
            "secret": secret,
            "connection": name,
            "organisations": organisations,
            "scopes": scopes,
            "kafka": kafka,
        }
        await take_clients(uow, [entry])
        await import_values(uow, {"organisations": [held[code] for code in organisations]})
        uow.audit("connection.added", subject=name)
    await runtime.refresh_directory()
    return entry


# -- daily ----------------------------------------------------------------------------------------


async def republish(runtime: "Runtime") -> int:
    """Publish everything again, with the versions it has: daily, and after a takeover."""
    due = runtime.state.get("routing.republish_at", 0.0)
    if time.monotonic() < due:
        return 0
    async with runtime.unit_of_work() as uow:
        rows = await repository.entries(uow.db)
        for row in rows:
            if not row["key"].startswith("key:"):
                value = {k: v for k, v in row["value"].items() if k != "version"}
                uow.publish_directory(row["key"], value, version=row["version"])
    runtime.state["routing.republish_at"] = time.monotonic() + REPUBLISH_SECONDS
    return 0
