"""The four services in one process on real PostgreSQL; a bus in Kafka's place carries events.

What goes over the bus are the rows of the real outboxes, handled on the consumer's own road, so a
case lives in all four services as it does in an installation. Only the broker is missing.
"""

import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from mediation import seed as staff_seed
from routing.keys import signing_key
from routing.seed import seed
from services import auth
from services.app import create_app
from services.ids import new_id
from services.messaging.handling import CaseEvents, Tally
from services.messaging.jobs import run_due_jobs
from services.messaging.kafka import Incoming
from services.runtime import Runtime
from services.service import NAMES, load
from services.stack.identity import SCOPES_FILE, scopes_of
from tests.access import contract
from tests.fixtures.servers import Database, PostgresServer

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
COUNTY = "330681"
PLACE = "330681001000"
LETTERS = {
    "court": "CT",
    "police": "PS",
    "procuratorate": "PR",
    "judicial_bureau": "JB",
    "petition_office": "PO",
    "hotline": "HL",
    "department": "DP",
    "government": "GO",
    "centre": "CE",
    "committee": "CM",
    "commercial_mediator": "CC",
    "partner": "PA",
}
# What a test says that stops a unit of work right before its commit.
WOULD_COMMIT = "this would have been committed"
KINDS = tuple(LETTERS)
# What an organisation of the tests is to the case of its kind: the number in its code.
STANDINGS = {
    "sender": 9001,
    "parent": 9002,
    "child": 9003,
    "sibling": 9004,
    "source": 9005,
    "supervisor": 9006,
    "linked": 9007,
    "left": 9008,
    "other": 9009,
    "handler": 9010,
    "helper": 9011,
}
SCOPES = json.loads(SCOPES_FILE.read_text(encoding="utf-8"))


def code_of(kind: str, standing: str) -> str:
    """The code of the organisation of that kind which stands so to the case of its kind."""
    return f"{COUNTY}-{LETTERS[kind]}-{STANDINGS[standing]}"


def _organisation(kind: str, standing: str) -> dict[str, Any]:
    parent = {"child": "sender", "sender": "parent", "sibling": "parent"}.get(standing)
    takes = standing == "handler"
    return {
        "code": code_of(kind, standing),
        "uscc": None,
        "name_zh": f"样例{LETTERS[kind]}{STANDINGS[standing]}",
        "name_en": f"Sample {kind} {standing}",
        "kind": kind,
        "roles": [],
        "parent": code_of(kind, parent) if parent else None,
        "place": f"{COUNTY}000000",
        "dispute_types": ["contract", "business", "land", "other"] if takes else [],
        "lanes": [],
        "contact": {"phone": "19900003999", "address": "样例路1号"},
        "office_hours": [],
        "capacity": 50 if takes else None,
    }


def samples_with_standings(folder: Path) -> Path:
    """The demonstration county with an organisation of every kind in every standing."""
    made = folder / "samples"
    shutil.copytree(SAMPLES, made)
    path = made / "directory.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["organisations"] += [_organisation(k, s) for k in KINDS for s in STANDINGS]
    data["staff"] += [
        {
            "id": f"{code_of(kind, 'handler')}-s{number}",
            "organisation": code_of(kind, "handler"),
            "name": f"样例{number}",
            "role": "mediator",
            "employment": "full_time",
            "languages": ["zh"],
            "phone": "19900003998",
        }
        for kind in KINDS
        for number in (1, 2)
    ]
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return made


def _clients(samples: Path) -> list[dict[str, Any]]:
    data = json.loads((samples / "directory.json").read_text(encoding="utf-8"))
    found = [
        _client(
            f"o-{each['code'].lower()}",
            [each["code"]],
            scopes_of(each["kind"], each.get("roles", [])),
        )
        for each in data["organisations"]
    ]
    found += [_client(name, [], scopes) for name, scopes in SCOPES["services"].items()]
    found.append(_client("operator", [], SCOPES["operator"]))
    # One system that speaks for the sender and for a body that has no part in the case.
    for kind in KINDS:
        both = [code_of(kind, "sender"), code_of(kind, "other")]
        found.append(_client(f"mate-{LETTERS[kind].lower()}", both, scopes_of(kind, [])))
        found.append(_client(f"gone-{LETTERS[kind].lower()}", both[:1], scopes_of(kind, [])))
    return found


def _client(name: str, organisations: list[str], scopes: list[str]) -> dict[str, Any]:
    return {
        "id": name,
        "secret": f"secret-of-{name}",
        "connection": name,
        "organisations": organisations,
        "scopes": scopes,
        "kafka": False,
    }


@dataclass
class Installation:
    """Four services, their databases and the bus between them."""

    databases: dict[str, Database]
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    apps: dict[str, FastAPI] = field(default_factory=dict)
    http: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    events: dict[str, CaseEvents] = field(default_factory=dict)
    offset: int = 0
    answers: int = 0
    # Operation -> what its answers broke of its contract.
    faults: dict[str, set[str]] = field(default_factory=dict)

    # -- tokens --------------------------------------------------------------------------------

    def token(
        self, client: str, organisations: list[str], scopes: list[str], **claims: Any
    ) -> dict[str, str]:
        """The header with a token as routing issues it."""
        body = {
            "sub": client,
            "connection": client,
            "organisations": organisations,
            "scopes": " ".join(scopes),
            **claims,
        }
        return {"Authorization": f"Bearer {auth.sign(signing_key(self.runtimes['routing']), body)}"}

    def of(self, organisation: str) -> dict[str, str]:
        """The token of an organisation's own client."""
        value = self.runtimes["routing"].directory.organisation(organisation) or {}
        scopes = scopes_of(value.get("kind", ""), value.get("roles") or [])
        return self.token(f"o-{organisation.lower()}", [organisation], scopes)

    # -- calls ---------------------------------------------------------------------------------

    async def call(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str],
        version: int | None = None,
        key: bool = True,
        **params: Any,
    ) -> httpx.Response:
        """One request to a service."""
        sent = dict(headers)
        if version is not None:
            sent["If-Match"] = f'"{version}"'
        if method == "POST" and key:
            sent.setdefault("Idempotency-Key", f"k-{new_id()}")
        content: dict[str, Any] = {"data" if path == "/oauth/token" else "json": body}
        answer = await self.http[service].request(
            method,
            path,
            headers=sent,
            params=params,
            **(content if method in ("POST", "PUT") else {}),
        )
        self.answers += 1
        name = contract.name_of(method, path)
        found = contract.faults(name, answer)
        if found and WOULD_COMMIT not in answer.text:
            self.faults.setdefault(name, set()).update(found)
        return answer

    async def ok(self, service: str, method: str, path: str, *args: Any, **more: Any) -> Any:
        """A call that must succeed: its JSON."""
        answer = await self.call(service, method, path, *args, **more)
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer.json()

    # -- the bus -------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Carry events and do jobs until every service has nothing left to say."""
        moved = True
        while moved:
            moved = False
            for name in NAMES:
                moved |= await self._carry(name)
            if not moved:
                for runtime in self.runtimes.values():
                    moved |= bool(runtime.service.jobs and await run_due_jobs(runtime))

    async def _carry(self, name: str) -> bool:
        pool = self.runtimes[name].pool
        rows = await pool.fetch(
            "SELECT * FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT 2000"
        )
        await self._publish([row for row in rows if row["topic"] == "directory"])
        records = []
        for row in rows:
            if row["topic"] == "cases":
                self.offset += 1
                headers = [list(header) for header in row["headers"]]
                records.append(Incoming("cases", 0, self.offset, row["key"], headers, row["data"]))
        if records:
            for hearer in self.events.values():
                await self._hear(hearer, records)
        ids = [row["id"] for row in rows]
        await pool.execute(
            "UPDATE outbox SET published_at = now() WHERE id = ANY($1::bigint[])", ids
        )
        return bool(rows)

    async def _publish(self, rows: list[Any]) -> None:
        entries = []
        for row in rows:
            value = None if row["data"] is None else json.loads(row["data"])
            entries.append((row["key"], value["version"] if value else row["id"], value))
        for runtime in self.runtimes.values() if entries else ():
            await runtime.pool.executemany(
                """INSERT INTO directory_entry (key, version, value) VALUES ($1, $2, $3)
                   ON CONFLICT (key) DO UPDATE SET version = $2, value = $3, updated_at = now()
                   WHERE directory_entry.version < $2""",
                entries,
            )
            await runtime.refresh_directory()

    @staticmethod
    async def _hear(events: CaseEvents, records: list[Incoming]) -> None:
        async with events.runtime.pool.acquire() as db, db.transaction():
            memory, now = await events.remember(db, records)
            for record in records:
                await events.take(db, memory, record, now, Tally())
            await memory.save()
            parked = await db.fetch("SELECT code, reason FROM parked_case")
            assert not parked, (events.service.name, [dict(row) for row in parked])


@contextlib.asynccontextmanager
async def an_installation(
    postgres: PostgresServer, folder: Path, **settings: Any
) -> AsyncIterator[Installation]:
    """The four services with the demonstration county and the organisations of the tests."""
    samples = samples_with_standings(folder)
    clients = folder / "clients.json"
    clients.write_text(json.dumps({"clients": _clients(samples)}), encoding="utf-8")
    databases = {name: await postgres.fresh_database(name) for name in NAMES}
    made = Installation(databases)
    async with contextlib.AsyncExitStack() as stack:
        for name in NAMES:
            runtime = await Runtime.open(
                load(name),
                load(name).settings(
                    **{
                        "database_url": SecretStr(databases[name].url),
                        "keys_dir": folder / "keys",
                        "clients_file": clients,
                        "samples_dir": samples,
                        "spool_dir": folder / "spool",
                        "files_dir": folder / "files",
                        "requests_per_second": 1_000_000,
                        "public_reads_per_second": 1_000_000,
                        "public_reads_in_all_per_second": 1_000_000,
                        "test_installation": True,
                        "client_id": f"svc-{name}",
                        "client_secret": SecretStr(f"secret-of-svc-{name}"),
                        **{f"{each}_url": f"http://{each}" for each in NAMES},
                        **settings,
                    }
                ),
            )
            stack.push_async_callback(runtime.close)
            made.runtimes[name] = runtime
            made.events[name] = CaseEvents(runtime)
            app = create_app(runtime.service, runtime=runtime)
            app.state.runtime = runtime
            made.apps[name] = app
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            made.http[name] = await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url=f"http://{name}")
            )
        mounts = {
            f"http://{name}": httpx.ASGITransport(app, raise_app_exceptions=False)
            for name, app in made.apps.items()
        }
        for runtime in made.runtimes.values():
            await runtime.http.aclose()
            runtime.http = httpx.AsyncClient(mounts=mounts, trust_env=False)
        await seed(made.runtimes["routing"], samples, clients)
        for runtime in made.runtimes.values():
            if runtime.service.on_start is not None:
                await runtime.service.on_start(runtime)
        await made.settle()
        await staff_seed.seed(made.runtimes["mediation"], samples)
        yield made
    for database in databases.values():
        await postgres.drop(database)
