"""Routing on a real PostgreSQL: events heard as from Kafka, the API called as a client would."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from pydantic import SecretStr

from routing import sweeper
from routing.keys import signing_key
from routing.seed import seed
from routing.settings import RoutingSettings
from routing.tables import METADATA
from routing.wiring import ROUTING
from services import auth
from services.app import create_app
from services.clock import wire
from services.events.envelope import Event, payload
from services.events.intake import CaseClosed, CaseRegistered, ReferralReceived
from services.events.mediation import (
    AssignmentAccepted,
    AssignmentEnded,
    AssignmentObjected,
    AssignmentReturned,
)
from services.ids import new_id
from services.messaging.handling import CaseEvents, Tally
from services.messaging.kafka import Incoming
from services.runtime import Runtime
from services.stack.identity import scopes_of
from tests.fixtures.languages import told_in_both
from tests.fixtures.servers import Database, PostgresServer

KEPT = {
    "organisation",
    "place",
    "calendar",
    "connection",
    "client",
    "directory_entry",
    "outbox",
    "position",
    "lease",
}
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
COURT, POLICE, PETITION = "330681-CT-0001", "330681-PS-0002", "330681-PO-0001"
COMMITTEE, CENTRE = "330681-CM-0007", "330681-CE-0001"
COORDINATOR, CONVENOR = "330681-GO-0001", "330681-DP-0008"


@dataclass
class Case:
    """A case as the events of a test tell it."""

    case_id: UUID = field(default_factory=new_id)
    source: str = COURT
    sequences: dict[str, int] = field(default_factory=dict)
    offset: int = 0
    episode: int = 1

    @property
    def number(self) -> str:
        """Something in the shape of a case number."""
        return f"LD2026-330681-{self.case_id.int % 10**7:07d}-A"


class World:
    """One routing service on its own database."""

    def __init__(self, runtime: Runtime, client: httpx.AsyncClient, folder: Path) -> None:
        self.runtime = runtime
        self.http = client
        self.folder = folder
        self.events = CaseEvents(runtime)
        self.records: list[Incoming] | None = None

    # -- calls ---------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        by: str = COURT,
        scopes: str | None = None,
        version: int | None = None,
        key: str | bool = True,
        **params: Any,
    ) -> httpx.Response:
        """One request as an organisation's system, with the scopes of its kind."""
        value = self.runtime.directory.organisation(by) or {}
        given = scopes or " ".join(scopes_of(value.get("kind", ""), value.get("roles") or []))
        claims = {
            "sub": f"o-{by.lower()}",
            "connection": f"o-{by.lower()}",
            "organisations": [by] if by != "operator" else [],
            "scopes": given,
        }
        token = auth.sign(signing_key(self.runtime), claims)
        headers = {"Authorization": f"Bearer {token}"}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        if key and method == "POST":
            headers["Idempotency-Key"] = key if isinstance(key, str) else f"k-{new_id()}"
        content = json.dumps(body or {}).encode() if method == "POST" else None
        if method == "POST":
            headers["Content-Type"] = "application/json"
        return await self.http.request(
            method, path, content=content, headers=headers, params=params
        )

    async def ok(self, method: str, path: str, *args: Any, **more: Any) -> dict[str, Any]:
        """A call that must succeed."""
        answer = await self.call(method, path, *args, **more)
        assert answer.status_code < 300, (answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    async def refused(self, method: str, path: str, *args: Any, **more: Any) -> tuple[int, str]:
        """A call that must fail: status, and the first fault's code or the slug."""
        answer = await self.call(method, path, *args, **more)
        assert answer.status_code >= 400, answer.text
        problem = answer.json()
        told_in_both(problem)
        return answer.status_code, (problem["errors"] or [problem])[0]["code"]

    async def one(self, path: str, case: Case, **more: Any) -> dict[str, Any]:
        """The newest row of a list, as the source sees it."""
        found = await self.ok("GET", path, case_id=str(case.case_id), by=case.source, **more)
        newest: dict[str, Any] = found["items"][-1]
        return newest

    # -- events --------------------------------------------------------------------------------

    async def now(self) -> datetime:
        """The product's time, to the second."""
        return await sweeper.product_now(self.runtime)

    async def hear(self, case: Case, source: str, event: Event, *, again: int = 1) -> None:
        """Let routing hear an event on the consumer's road, as often as wanted."""
        case.sequences[source] = case.sequences.get(source, 0) + 1
        case.offset += 1
        headers = [
            ["content-type", "application/json; charset=utf-8"],
            ["ce_specversion", "1.0"],
            ["ce_id", str(new_id())],
            ["ce_source", f"/{source}"],
            ["ce_type", event.spec.type],
            ["ce_subject", str(case.case_id)],
            ["ce_time", wire(datetime.now(UTC))],
            ["ce_recordedtime", wire(datetime.now(UTC))],
            ["ce_sequence", f"{case.sequences[source]:010d}"],
            ["ce_episode", str(case.episode)],
            ["ce_correlationid", str(new_id())],
            ["ce_traceparent", f"00-{'1' * 32}-{'2' * 16}-01"],
        ]
        data = orjson.dumps(payload(event))
        record = Incoming("cases", 0, case.offset, str(case.case_id), headers, data)
        if self.records is not None:
            self.records.append(record)
            return
        for _ in range(again):
            await self.take([record])

    async def take(self, records: list[Incoming]) -> None:
        """Let routing hear records in one transaction."""
        async with self.runtime.pool.acquire() as db, db.transaction():
            memory, now = await self.events.remember(db, records)
            for record in records:
                await self.events.take(db, memory, record, now, Tally())
            await memory.save()

    @contextlib.asynccontextmanager
    async def one_batch(self) -> AsyncIterator[None]:
        """What is told inside is heard at the end, in one transaction."""
        self.records = []
        yield
        records, self.records = self.records, None
        await self.take(records)

    async def told(self, case: Case) -> list[dict[str, Any]]:
        """Every event routing emitted on a case: ``name`` and its members, in order."""
        rows = await self.runtime.pool.fetch(
            "SELECT type, data FROM outbox WHERE key = $1 ORDER BY id", str(case.case_id)
        )
        return [
            {**orjson.loads(row["data"]), "name": row["type"].removeprefix("liandiao.")[:-3]}
            for row in rows
        ]

    async def names(self, case: Case) -> list[str]:
        """The names of the events routing emitted."""
        return [item["name"] for item in await self.told(case)]

    async def last(self, case: Case, name: str) -> dict[str, Any]:
        """The newest event of a name."""
        return [item for item in await self.told(case) if item["name"] == name][-1]

    # -- the walk ------------------------------------------------------------------------------

    async def registered(self, sample: str = "court_pre-loan-between-friends", **more: Any) -> Case:
        """A case that intake opened from a sample referral; answers after routing decided."""
        raw = json.loads((SAMPLES / "referrals" / f"{sample}.json").read_text(encoding="utf-8"))
        case = Case(source=more.get("organisation", raw["source"]["organisation"]))
        now, referral_id = await self.now(), new_id()
        common = {"case_id": case.case_id, "referral_id": referral_id}
        await self.hear(
            case,
            "intake",
            ReferralReceived(
                **common,
                organisation=case.source,
                reference=raw["source"]["reference"],
                channel=raw["channel"],
                received_at=now,
            ),
        )
        values: dict[str, Any] = {
            **common,
            "case_number": case.number,
            "organisation": case.source,
            "lane": raw["lane"],
            "dispute_type": raw["dispute_type"],
            "dispute_subtype": raw["dispute_subtype"],
            "place": raw["place"],
            "claim_fen": raw["claim_fen"],
            "parties": [
                {"party_id": new_id(), "role": p["role"], "kind": p["kind"]} for p in raw["parties"]
            ],
            "legal_context": {"mode": raw["legal_context"].get("mode")},
            "channel": raw["channel"],
            "received_at": now,
            "registered_at": now,
        }
        await self.hear(case, "intake", CaseRegistered(**{**values, **more}))
        return case

    async def turn(self, case: Case) -> dict[str, Any]:
        """The newest offer."""
        return await self.last(case, "assignment.offered")

    async def accept(self, case: Case, at: datetime | None = None) -> dict[str, Any]:
        """Mediation accepted the newest offer."""
        turn = await self.turn(case)
        await self.hear(
            case,
            "mediation",
            AssignmentAccepted(
                case_id=case.case_id,
                assignment_id=turn["assignment_id"],
                mediation_id=new_id(),
                organisation=turn["organisation"],
                ordinal=turn["ordinal"],
                accepted_at=at or await self.now(),
            ),
        )
        return turn

    async def give_back(self, case: Case, *, again: int = 1) -> dict[str, Any]:
        """Mediation returned the newest offer."""
        turn = await self.turn(case)
        await self.hear(
            case,
            "mediation",
            AssignmentReturned(
                case_id=case.case_id,
                assignment_id=turn["assignment_id"],
                organisation=turn["organisation"],
                ordinal=turn["ordinal"],
                ground="outside-competence",
                returned_at=await self.now(),
            ),
            again=again,
        )
        return turn

    async def object_to(self, case: Case) -> dict[str, Any]:
        """Mediation recorded an objection to the newest offer."""
        turn = await self.turn(case)
        await self.hear(
            case,
            "mediation",
            AssignmentObjected(
                case_id=case.case_id,
                assignment_id=turn["assignment_id"],
                organisation=turn["organisation"],
                ordinal=turn["ordinal"],
                ground="outside-competence",
                objected_at=await self.now(),
            ),
        )
        return turn

    async def end(self, case: Case, end: str) -> None:
        """Mediation ended the newest turn."""
        turn = await self.turn(case)
        await self.hear(
            case,
            "mediation",
            AssignmentEnded(
                case_id=case.case_id,
                assignment_id=turn["assignment_id"],
                organisation=turn["organisation"],
                ordinal=turn["ordinal"],
                end=end,
                ended_at=await self.now(),
            ),
        )

    async def close(self, case: Case) -> None:
        """Intake closed the case."""
        event = CaseClosed(
            case_id=case.case_id, outcome="agreed_written", closed_at=await self.now()
        )
        await self.hear(case, "intake", event)

    # -- time ----------------------------------------------------------------------------------

    def pass_time(self, **length: float) -> None:
        """Move the test clock; the service has heard everything by then."""
        self.runtime.clock.offset += timedelta(**length)

    async def sweep(self) -> int:
        """Let the sweeper work until nothing is due, everything having been heard."""
        done = 0
        self.runtime.progress |= {"lag_records": 0}
        self.runtime.state["routing.offset"] = (self.runtime.clock.offset, -1e9)
        import time

        for _ in range(200):
            self.runtime.progress["lag_seen_monotonic"] = time.monotonic()
            worked = await sweeper.sweep(self.runtime)
            if not worked:
                break
            done += worked
        return done


def some_settings(url: str, folder: Path) -> RoutingSettings:
    """Settings of a test installation whose keys and clients lie in ``folder``."""
    return RoutingSettings(
        database_url=SecretStr(url),
        keys_dir=folder / "keys",
        clients_file=folder / "clients.json",
        samples_dir=SAMPLES,
        requests_per_second=100_000,
        test_installation=True,
    )


async def seeded_database(server: PostgresServer, folder: Path) -> Database:
    """A database with the demonstration county in it."""
    database = await server.fresh_database("routing")
    clients = folder / "clients.json"
    clients.write_text(json.dumps({"clients": some_clients()}), encoding="utf-8")
    runtime = await Runtime.open(ROUTING, some_settings(database.url, folder))
    await seed(runtime, SAMPLES)
    await runtime.close()
    return database


@contextlib.asynccontextmanager
async def a_world(database: Database, folder: Path) -> AsyncIterator[World]:
    """Routing with the demonstration county, empty of cases; emptied again afterwards."""
    runtime = await Runtime.open(ROUTING, some_settings(database.url, folder))
    try:
        app = create_app(ROUTING, runtime=runtime)
        app.state.runtime = runtime
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://routing") as client:
            yield World(runtime, client, folder)
    finally:
        await runtime.close()
        await empty_of_cases(database)


async def empty_of_cases(database: Database) -> None:
    """Forget every case; the directory stays."""
    tables = [table.name for table in METADATA.sorted_tables if table.name not in KEPT]
    superuser = await asyncpg.connect(database.superuser_url)
    try:
        await superuser.execute(f"TRUNCATE {', '.join(tables)}")
        await superuser.execute("DELETE FROM outbox WHERE topic <> 'directory'")
    finally:
        await superuser.close()


def some_clients() -> list[dict[str, Any]]:
    """Clients of two agencies."""
    return [
        {
            "id": f"o-{code.lower()}",
            "secret": f"secret-of-{code}",
            "connection": f"o-{code.lower()}",
            "organisations": [code],
            "scopes": scopes_of(kind, []),
            "kafka": True,
        }
        for code, kind in ((COURT, "court"), (POLICE, "police"))
    ]
