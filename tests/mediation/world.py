"""Mediation on a real PostgreSQL, its API called as a client would, events heard as from Kafka."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from joserfc.jwk import ECKey
from pydantic import SecretStr

from mediation import seed
from mediation.settings import MediationSettings
from mediation.wiring import MEDIATION
from services import auth
from services.app import create_app
from services.clock import wire
from services.events.envelope import Event, payload
from services.events.intake import CaseRegistered, MandateGiven, MandateRevoked, PartyLeft
from services.events.routing import AssignmentOffered, Deadline, ParticipantJoined
from services.ids import new_id
from services.messaging.handling import CaseEvents, Tally
from services.messaging.kafka import Incoming
from services.runtime import Runtime
from tests.fixtures.languages import told_in_both
from tests.fixtures.servers import PostgresServer

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
CENTRE, COURT, COMMITTEE = "330681-CE-0001", "330681-CT-0001", "330681-CM-0007"
SCOPES = (
    "queue:read queue:write mediator:read mediator:write mediation:read mediation:write"
    " note:read note:write handover:read party:read"
)


def number(case_id: UUID) -> str:
    """Something in the shape of a case number."""
    return f"LD2026-330681-{case_id.int % 10**7:07d}-A"


@dataclass
class Case:
    """A case as the events of a test tell it."""

    case_id: UUID
    lane: str
    applicant: UUID = field(default_factory=new_id)
    respondent: UUID = field(default_factory=new_id)
    assignment_id: UUID = field(default_factory=new_id)
    sequences: dict[str, int] = field(default_factory=dict)
    offset: int = 0
    mediation_id: UUID | None = None
    others: tuple[dict[str, Any], ...] = ()

    @property
    def parties(self) -> tuple[dict[str, Any], ...]:
        """The parties, without names."""
        return (
            *self.others,
            {"party_id": str(self.applicant), "role": "applicant", "kind": "person"},
            {"party_id": str(self.respondent), "role": "respondent", "kind": "person"},
        )


class World:
    """One service, one database, any number of callers."""

    def __init__(
        self, runtime: Runtime, client: httpx.AsyncClient, key: ECKey, migrator_url: str
    ) -> None:
        self.runtime = runtime
        self.migrator_url = migrator_url
        self.http = client
        self.key = key
        self.events = CaseEvents(runtime)
        self.now = datetime.now(UTC).replace(microsecond=0)

    async def begin_anew(self) -> None:
        """Empty every table but the roster and the directory."""
        self.now = datetime.now(UTC).replace(microsecond=0)
        kept = {"staff", "directory_entry"}
        tables = ", ".join(t for t in MEDIATION.schema().metadata.tables if t not in kept)
        owner = await asyncpg.connect(self.migrator_url)
        try:
            await owner.execute(f"TRUNCATE {tables}")
            await owner.execute("DELETE FROM staff WHERE staff_id LIKE '%-s99'")
        finally:
            await owner.close()

    # -- calls -----------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        by: str = CENTRE,
        acted_by: str | None = None,
        version: int | None = None,
        key: bool | str = True,
        scopes: str = SCOPES,
        under: UUID | None = None,
        **params: Any,
    ) -> httpx.Response:
        """One request as an organisation's system."""
        token = auth.sign(
            self.key,
            {
                "sub": f"client-{by}",
                "connection": f"o-{by.lower()}",
                "organisations": [by],
                "scopes": scopes,
            },
        )
        headers = {"Authorization": f"Bearer {token}"}
        if acted_by:
            headers["Acted-By"] = acted_by
        if under is not None:
            headers["Mandate-Id"] = str(under)
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        if key and method == "POST":
            headers["Idempotency-Key"] = key if isinstance(key, str) else f"k-{new_id()}"
        return await self.http.request(
            method, path, json=body if method == "POST" else None, headers=headers, params=params
        )

    async def ok(self, method: str, path: str, *args: Any, **more: Any) -> dict[str, Any]:
        """A call that must succeed."""
        answer = await self.call(method, path, *args, **more)
        assert answer.status_code < 300, (answer.status_code, answer.text)
        value: dict[str, Any] = answer.json()
        return value

    async def refused(self, method: str, path: str, *args: Any, **more: Any) -> tuple[int, str]:
        """A call that must fail: status and the fault's code, or the slug."""
        answer = await self.call(method, path, *args, **more)
        assert answer.status_code >= 400, answer.text
        body = answer.json()
        told_in_both(body)
        fault = body["errors"][0]["code"] if body["errors"] else body["code"]
        return answer.status_code, fault

    # -- events ----------------------------------------------------------------------------

    async def hear(
        self, case: Case, source: str, event: Event, *, episode: int = 1, again: int = 1
    ) -> None:
        """Let the service hear an event, as often as wanted, on the consumer's road."""
        record = self.record(case, source, event, episode=episode)
        for _ in range(again):
            async with self.runtime.pool.acquire() as db, db.transaction():
                memory, now = await self.events.remember(db, [record])
                await self.events.take(db, memory, record, now, Tally())
                await memory.save()

    def record(self, case: Case, source: str, event: Event, *, episode: int = 1) -> Incoming:
        """The next event of a source about a case, as it comes from the topic."""
        sequence = case.sequences.get(source, 0) + 1
        case.sequences[source] = sequence
        case.offset += 1
        headers = [
            ["content-type", "application/json; charset=utf-8"],
            ["ce_specversion", "1.0"],
            ["ce_id", str(new_id())],
            ["ce_source", f"/{source}"],
            ["ce_type", event.spec.type],
            ["ce_subject", str(case.case_id)],
            ["ce_time", wire(self.now)],
            ["ce_recordedtime", wire(self.now)],
            ["ce_sequence", f"{sequence:010d}"],
            ["ce_episode", str(episode)],
            ["ce_correlationid", str(new_id())],
            ["ce_traceparent", f"00-{'1' * 32}-{'2' * 16}-01"],
        ]
        data = orjson.dumps(payload(event))
        return Incoming("cases", 0, case.offset, str(case.case_id), headers, data)

    async def register(self, case: Case) -> None:
        """Intake's part of a new case."""
        await self.hear(
            case,
            "intake",
            CaseRegistered(
                case_id=case.case_id,
                case_number=number(case.case_id),
                referral_id=new_id(),
                organisation=COURT,
                lane=case.lane,
                dispute_type="contract",
                dispute_subtype="loan",
                place="330681001000",
                parties=case.parties,
                channel="api",
                received_at=self.now,
                registered_at=self.now,
            ),
        )

    async def offer(
        self, case: Case, *, to: str = CENTRE, again: int = 1, ordinal: int = 1, **more: Any
    ) -> None:
        """Routing's part: the organisation is the handler, and the offer."""
        joined = {"participation_id": new_id(), "case_id": case.case_id, "joined_at": self.now}
        if ordinal == 1:
            await self.hear(
                case, "routing", ParticipantJoined(**joined, organisation=COURT, role="source")
            )
        joined["participation_id"] = new_id()
        await self.hear(
            case, "routing", ParticipantJoined(**joined, organisation=to, role="handler")
        )
        values: dict[str, Any] = {
            "case_id": case.case_id,
            "case_number": number(case.case_id),
            "assignment_id": case.assignment_id,
            "decision_id": new_id(),
            "organisation": to,
            "source_organisation": COURT,
            "ordinal": ordinal,
            "on_silence": "reoffer",
            "accept_by": self.now + timedelta(days=3),
            "window": {"n": 3, "unit": "workday"},
            "offered_at": self.now - timedelta(minutes=1),
            "lane": case.lane,
            "dispute_type": "contract",
            "dispute_subtype": "loan",
            "place": "330681001000",
            "claim_fen": 4_200_000,
            "parties": case.parties,
            "received_at": self.now,
            "registered_at": self.now,
        }
        await self.hear(case, "routing", AssignmentOffered(**{**values, **more}), again=again)

    def clock(self, kind: str, subject: UUID | None, due_at: datetime, **more: Any) -> Deadline:
        """A clock's deadline as routing tells it."""
        return Deadline(
            clock_id=more.pop("clock_id", new_id()),
            kind=kind,
            rule="DL-TEST",
            citation="a test",
            subject_id=subject,
            due_at=due_at,
            due_on=due_at.date().isoformat(),
            original_due_at=more.pop("original_due_at", due_at),
        )

    async def leave(
        self, case: Case, left_at: datetime, party_id: UUID | None = None, role: str = "applicant"
    ) -> None:
        """The applicant leaves, or another party."""
        await self.hear(
            case,
            "intake",
            PartyLeft(
                case_id=case.case_id,
                party_id=party_id or case.applicant,
                role=role,
                left_at=left_at,
                told_by="party",
            ),
        )

    async def mandated(self, case: Case, party: UUID, *, by: str = CENTRE, again: int = 1) -> UUID:
        """Somebody files for a party: intake says so, with the organisation that recorded it."""
        mandate_id = new_id()
        given = MandateGiven(
            case_id=case.case_id,
            mandate_id=mandate_id,
            party_id=party,
            organisation=by,
            given_at=self.now,
        )
        await self.hear(case, "intake", given, again=again)
        return mandate_id

    async def revoked(
        self, case: Case, mandate_id: UUID, party: UUID, *, by: str = CENTRE, again: int = 1
    ) -> None:
        """The party has ended the mandate."""
        ended = MandateRevoked(
            case_id=case.case_id,
            mandate_id=mandate_id,
            party_id=party,
            organisation=by,
            revoked_at=self.now,
            told_by="party",
        )
        await self.hear(case, "intake", ended, again=again)

    # -- the walk --------------------------------------------------------------------------

    async def offered(
        self, lane: str = "pm", others: tuple[dict[str, Any], ...] = (), **more: Any
    ) -> Case:
        """A case in the centre's queue."""
        case = Case(new_id(), lane, others=others)
        await self.register(case)
        await self.offer(case, **more)
        return case

    async def accepted(self, lane: str = "pm", **more: Any) -> Case:
        """A case the centre has accepted."""
        case = await self.offered(lane, **more)
        item = await self.ok("POST", f"/v1/queue/{case.assignment_id}/accept", {}, version=1)
        case.mediation_id = UUID(item["mediation_id"])
        return case

    async def appointed(self, lane: str = "pm", mediator: int = 0, **more: Any) -> Case:
        """A case with a mediator and both parties' consent."""
        case = await self.accepted(lane, **more)
        mediators = await self.mediators()
        await self.ok(
            "POST",
            f"/v1/mediations/{case.mediation_id}/mediators",
            {"mediator_id": mediators[mediator]["mediator_id"]},
            version=1,
        )
        for party in (case.applicant, case.respondent):
            await self.consent(case, party)
        return case

    async def mediators(self, organisation: str = CENTRE) -> list[dict[str, Any]]:
        """An organisation's roster."""
        answer = await self.ok("GET", "/v1/mediators", by=organisation)
        items: list[dict[str, Any]] = answer["items"]
        return items

    async def consent(self, case: Case, party: UUID, state: str = "given") -> dict[str, Any]:
        """A party's word on being mediated."""
        return await self.ok(
            "POST",
            f"/v1/mediations/{case.mediation_id}/consents",
            {"party_id": str(party), "step": "mediate", "state": state, "channel": "counter"},
            key=False,
        )

    def session_body(self, case: Case, day: int = 1, **more: Any) -> dict[str, Any]:
        """A joint session in room A on some day."""
        starts = self.now + timedelta(days=day)
        return {
            "parties": [str(case.applicant), str(case.respondent)],
            "room": "A",
            "starts_at": wire(starts),
            "ends_at": wire(starts + timedelta(hours=2)),
            **more,
        }

    def agreement_body(self, case: Case, **more: Any) -> dict[str, Any]:
        """An agreement that promises one payment in ten days."""
        due_on = (self.now + timedelta(days=10)).date().isoformat()
        return {
            "form": "paper",
            "parties": [str(case.applicant), str(case.respondent)],
            "clauses": [
                {"kind": "fact", "text": "欠款四万二千元"},
                {
                    "kind": "obligation",
                    "text": "被申请人归还四万二千元",
                    "obligation": {
                        "kind": "pay",
                        "debtor": str(case.respondent),
                        "creditor": str(case.applicant),
                        "amount_fen": 4_200_000,
                        "due_on": due_on,
                    },
                },
            ],
            "text": "调解协议书",
            **more,
        }

    async def agreed(self, lane: str = "pm", **more: Any) -> tuple[Case, dict[str, Any]]:
        """A case whose agreement is in effect."""
        case = await self.appointed(lane)
        path = f"/v1/mediations/{case.mediation_id}/agreements"
        agreement = await self.ok("POST", path, self.agreement_body(case, **more))
        for missing in agreement["missing"]:
            agreement = await self.sign(agreement, missing["signer_kind"], missing["signer"])
        return case, agreement

    async def sign(
        self, agreement: dict[str, Any], kind: str, signer: str, at: datetime | None = None
    ) -> dict[str, Any]:
        """One signature."""
        return await self.ok(
            "POST",
            f"/v1/agreements/{agreement['agreement_id']}/signatures",
            self.signature_body(agreement, kind, signer, at),
            key=False,
        )

    def signature_body(
        self, agreement: dict[str, Any], kind: str, signer: str, at: datetime | None = None
    ) -> dict[str, Any]:
        """What a signature says."""
        return {
            "signer_kind": kind,
            "signer": signer,
            "signed_at": wire(at or self.now - timedelta(minutes=5)),
            "text_sha256": agreement["text_sha256"],
            "method": "electronic" if agreement["form"] == "online" else "wet",
        }

    async def emitted(self, case: Case) -> list[tuple[str, dict[str, Any]]]:
        """The service's own events of a case: short type and payload, in order."""
        rows = await self.runtime.pool.fetch(
            "SELECT type, data FROM outbox WHERE key = $1 ORDER BY id", str(case.case_id)
        )
        return [(row["type"].split(".", 1)[1][:-3], orjson.loads(row["data"])) for row in rows]

    async def types(self, case: Case) -> list[str]:
        """Short types of what was emitted, in order."""
        return [type_ for type_, _ in await self.emitted(case)]


@contextlib.asynccontextmanager
async def a_world(postgres: PostgresServer, keys_dir: Path) -> AsyncIterator[World]:
    """A migrated mediation with the samples' staff and a directory that knows four bodies."""
    database = await postgres.fresh_database("mediation")
    settings = MediationSettings(
        database_url=SecretStr(database.url),
        keys_dir=keys_dir,
        requests_per_second=100_000,
        test_installation=True,
    )
    key = ECKey.generate_key("P-256", {"kid": "test-key"}, private=True)
    runtime = await Runtime.open(MEDIATION, settings)
    try:
        entries = {
            "key:test-key": {"use": "token", "jwk": key.as_dict(private=False)},
            f"organisation:{CENTRE}": {"code": CENTRE, "kind": "centre"},
            f"organisation:{COURT}": {"code": COURT, "kind": "court"},
            f"organisation:{COMMITTEE}": {"code": COMMITTEE, "kind": "committee"},
        }
        for name, value in entries.items():
            await runtime.pool.execute(
                "INSERT INTO directory_entry (key, version, value) VALUES ($1, 1, $2)", name, value
            )
        await runtime.refresh_directory()
        await seed.seed(runtime, SAMPLES)
        app = create_app(MEDIATION, runtime=runtime)
        app.state.runtime = runtime
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://mediation") as client:
            yield World(runtime, client, key, database.migrator_url)
    finally:
        await runtime.close()
        await postgres.drop(database)
