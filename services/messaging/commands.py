"""Commands from agencies' ``in`` topics: each done at most once, each answered exactly once."""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import orjson
import structlog
from aiokafka import TopicPartition
from pydantic import TypeAdapter

from services import problem, telemetry
from services.auth import Caller
from services.errors import FieldError, Forbidden, Internal, Invalid, Malformed, Problem
from services.events.intake import AnswerError, AnswerProblem, CommandAnswered
from services.ids import new_id
from services.messaging import kafka
from services.messaging.failpoints import failpoint
from services.messaging.group import GroupConsumer
from services.messaging.handling import error_code, error_place, is_transient
from services.messaging.kafka import Incoming
from services.messaging.transaction import transaction
from services.messaging.waiting import pause
from services.service import Command
from services.telemetry import COMMANDS_ANSWERED
from services.unit_of_work import Actor, UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
WIRE_TYPE: Final = re.compile(r"^liandiao\.([a-z-]+\.[a-z-]+)\.v1$")
TOPIC: Final = re.compile(r"^agency\.([a-z][a-z0-9-]{2,31})\.in$")
LOOK_AGAIN_SECONDS: Final = 5.0
# Every command there is: who handles it, and the scope its connection needs.
KNOWN: Final[Mapping[str, tuple[str, str]]] = {
    "referral.submit": ("intake", "referral:write"),
    "referral.amend": ("intake", "referral:write"),
    "case.leave": ("intake", "case:leave"),
    "assignment.accept": ("mediation", "queue:write"),
    "assignment.return": ("mediation", "queue:write"),
    "assignment.object": ("mediation", "queue:write"),
    "assignment.recall": ("routing", "assignment:write"),
    "objection.decide": ("routing", "assignment:write"),
    "linkage.request": ("routing", "linkage:write"),
    "linkage.answer": ("routing", "linkage:write"),
}


@dataclass(frozen=True)
class Read:
    """A record as far as it could be read as a command."""

    connection: str
    command_id: UUID | None
    type: str | None
    subject: str | None
    traceparent: str | None
    data: dict[str, Any] | None
    problem: Problem | None

    def name(self, record: Incoming) -> str:
        """What makes this command one for ever: its id, or its place when it has none."""
        if self.command_id is not None:
            return str(self.command_id)
        return f"{record.topic}/{record.partition}/{record.offset}"


def read_command(record: Incoming) -> Read:
    """Read headers and bytes; what is wrong becomes the problem that will be answered."""
    found = {name: value for name, value in record.headers}
    wire = WIRE_TYPE.match(found.get("ce_type", ""))
    type_ = wire.group(1) if wire else None
    problem_: Problem | None = None
    try:
        command_id = UUID(found["ce_id"]) if len(found["ce_id"]) == 36 else None
    except (KeyError, ValueError):
        command_id = None
    data: Any = None
    try:
        data = orjson.loads(record.data)
    except orjson.JSONDecodeError:
        problem_ = Malformed("the bytes are no JSON")
    if problem_ is None and not isinstance(data, dict):
        problem_ = Malformed("the data is no JSON object")
    if problem_ is None and type_ not in KNOWN:
        problem_ = Invalid(
            errors=[
                FieldError(
                    "/ce_type",
                    "unknown-command",
                    "没有这种命令。/ there is no command of this type",
                )
            ]
        )
    if command_id is None:
        problem_ = Malformed("ce_id is missing or not a UUID")
    topic = TOPIC.match(record.topic)
    return Read(
        connection=topic.group(1) if topic else "",
        command_id=command_id,
        type=type_,
        subject=found.get("ce_subject"),
        traceparent=found.get("ce_traceparent"),
        data=data if isinstance(data, dict) else None,
        problem=problem_,
    )


def caller_of(
    connection: str, entry: Mapping[str, Any] | None, data: Mapping[str, Any], scope: str
) -> Caller:
    """The connection as a caller acting for one organisation. Raises ``Forbidden``, ``Invalid``."""
    if entry is None or not entry.get("active", True):
        raise Forbidden("the connection is not active")
    organisations = tuple(entry.get("organisations", ()))
    scopes = entry.get("scopes") or ()
    scopes = frozenset(scopes.split() if isinstance(scopes, str) else scopes)
    organisation = data.get("organisation")
    if organisation is None and len(organisations) == 1:
        organisation = organisations[0]
    if not isinstance(organisation, str):
        message = "须写明命令以哪个机构的名义发出。/ the organisation it speaks for is required"
        raise Invalid(errors=[FieldError("/organisation", "required", message)])
    if organisation not in organisations or scope not in scopes:
        raise Forbidden()
    acted_by = data.get("acted_by")
    return Caller(
        client_id=connection,
        connection=connection,
        organisation=organisation,
        organisations=organisations,
        scopes=scopes,
        acted_by=acted_by if isinstance(acted_by, str) else None,
    )


class CommandConsumer(GroupConsumer):
    """One member of the group ``<service>.commands``; nothing ever blocks an agency's topic."""

    def __init__(self, runtime: "Runtime") -> None:
        super().__init__(runtime, f"{runtime.service.name}.commands")
        self.topics: list[str] = []
        self._look_at = 0.0
        self._revision = -1
        self._incomplete = False

    def wanted(self) -> list[str]:
        """The ``in`` topics of the connections that chose Kafka, by the directory copy."""
        return [f"agency.{name}.in" for name in self.runtime.directory.kafka_connections()]

    def topics_changed(self) -> bool:
        """True when connections came or went, or when a topic that was missing may be there now."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_AGAIN_SECONDS
        if self._incomplete:
            return True
        if self._revision == self.runtime.directory.revision:
            return False
        self._revision = self.runtime.directory.revision
        return self.wanted() != self.topics

    async def existing(self) -> list[str]:
        """Those of the wanted topics that are there; a missing one would stall the group."""
        wanted = self.wanted()
        self._revision = self.runtime.directory.revision
        client = kafka.new_consumer(self.runtime.settings, f"{self.consumer}.look")
        try:
            await asyncio.wait_for(client.start(), 30)
            there = await kafka.partitions_there(client)
        finally:
            await kafka.close(client)
        self.topics = wanted
        return [topic for topic in wanted if topic in there]

    async def run_some(self, stop: asyncio.Event) -> None:
        """Consume until the topics change."""
        topics = await self.existing()
        self._incomplete = len(topics) < len(self.topics)
        self._look_at = time.monotonic() + LOOK_AGAIN_SECONDS * (4 if self._incomplete else 1)
        if not topics:
            await pause(stop, 2)
        else:
            await self.run(stop, topics)

    async def handle(self, place: TopicPartition, records: list[Incoming]) -> int:
        """One command: done and answered, or answered with what is wrong."""
        record = records[0]
        failure = await self.patiently(place, record)
        if failure is not None:
            log.error(
                "command failed",
                topic=record.topic,
                offset=record.offset,
                code=error_code(failure),
                place=error_place(failure),
            )
            await self._answer_only(place, record, Internal())
        return 1

    async def transaction(self, place: TopicPartition, records: list[Incoming]) -> int:
        """Position, the command's name, its effect and its answer, together."""
        record = records[0]
        command = read_command(record)
        refusal: Problem | None = None
        trace = command.traceparent or ""
        if len(trace) != 55 or trace.count("-") != 3:
            trace = telemetry.new_traceparent()
        telemetry.bind(str(command.command_id or new_id()), trace)
        try:
            await self._do(place, record, command)
        except Problem as error:
            if is_transient(error):
                raise
            refusal = error
        if refusal is not None:
            await self._answer_only(place, record, refusal)
        return 1

    async def _do(self, place: TopicPartition, record: Incoming, command: Read) -> None:
        runtime = self.runtime
        async with transaction(runtime) as (db, now):
            await self.positions.lock(db, place.topic, place.partition, record.offset)
            await self.positions.move(db, place.topic, place.partition, record.offset + 1)
            if self._is_ours(command) and await self._is_first(db, record, command, now):
                if command.problem is not None:
                    raise command.problem
                await self._effect(db, record, command, now)
            failpoint("command.before_commit")
        failpoint("command.after_commit")
        runtime.wake()

    def _is_ours(self, command: Read) -> bool:
        """The owner of a type answers it; intake answers whatever nobody else can."""
        service = self.runtime.service
        if command.problem is None and command.type in service.commands:
            return True
        nobodys = command.problem is not None or command.type not in KNOWN
        return service.answers_unknown_commands and nobodys

    async def _is_first(
        self, db: asyncpg.Connection, record: Incoming, command: Read, now: datetime
    ) -> bool:
        """Claim the command's name for ever; false when it has been answered before."""
        return bool(
            await db.fetchval(
                """INSERT INTO command (connection, command_id, type, outcome, event_id, at)
                   VALUES ($1, $2, $3, 'accepted', $4, $5) ON CONFLICT DO NOTHING RETURNING true""",
                command.connection,
                command.name(record),
                command.type,
                new_id(),
                now,
            )
        )

    async def _effect(
        self, db: asyncpg.Connection, record: Incoming, command: Read, now: datetime
    ) -> None:
        if command.command_id is None or command.data is None or command.type is None:
            raise Malformed()
        caller = caller_of(
            command.connection,
            self.runtime.directory.connection(command.connection),
            command.data,
            KNOWN[command.type][1],
        )
        uow = self._unit_of_work(db, now, command, caller)
        answer = await self.runtime.service.commands[command.type](
            Command(
                connection=command.connection,
                command_id=command.command_id,
                type=command.type,
                subject=command.subject,
                data=command.data,
                traceparent=command.traceparent,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            ),
            uow,
        )
        # A refusal that is itself on record comes back as an answer: what it wrote stays.
        outcome = "rejected" if (answer or {}).get("problem") else "accepted"
        await self._emit(uow, record, command, outcome, answer or {})

    async def _answer_only(self, place: TopicPartition, record: Incoming, refusal: Problem) -> None:
        """The refused command's only trace: its name and its answer."""
        runtime, command = self.runtime, read_command(record)
        async with transaction(runtime) as (db, now):
            await self.positions.lock(db, place.topic, place.partition, record.offset)
            await self.positions.move(db, place.topic, place.partition, record.offset + 1)
            if self._is_ours(command) and await self._is_first(db, record, command, now):
                uow = self._unit_of_work(db, now, command, None)
                body = problem.body(refusal)
                await self._emit(uow, record, command, "rejected", {"problem": body})
            failpoint("command.before_commit")
        failpoint("command.after_commit")
        runtime.wake()

    def _unit_of_work(
        self, db: asyncpg.Connection, now: datetime, command: Read, caller: Caller | None
    ) -> UnitOfWork:
        name = str(command.command_id) if command.command_id else None
        organisation = caller.organisation if caller else None
        acted_by = caller.acted_by if caller else None
        return UnitOfWork(
            self.runtime,
            db,
            now,
            Actor(command.connection, organisation, acted_by),
            caller=caller,
            causation_id=name,
            correlation_id=name,
        )

    async def _emit(
        self,
        uow: UnitOfWork,
        record: Incoming,
        command: Read,
        outcome: str,
        answer: dict[str, Any],
    ) -> None:
        """Add ``command.answered`` under the case when it is known, else under the command's id."""
        case_id = answer.get("case_id")
        subject = UUID(str(case_id)) if case_id else command.command_id or new_id()
        await uow.lock_case(subject, create=case_id is None)
        nameless = command.command_id is None
        problem_ = answer.get("problem")
        emitted = uow.emit(
            CommandAnswered(
                case_id=subject,
                case_number=answer.get("case_number"),
                connection=command.connection,
                command_id=None if nameless else str(command.command_id),
                command_type=command.type,
                outcome="accepted" if outcome == "accepted" else "rejected",
                referral_id=answer.get("referral_id"),
                answered_case_id=case_id,
                problem=AnswerProblem.model_validate(problem_) if problem_ else None,
                warnings=WARNINGS.validate_python(answer.get("warnings", ())),
                topic=record.topic if nameless else None,
                partition=record.partition if nameless else None,
                offset=record.offset if nameless else None,
                answered_at=uow.now,
            )
        )
        await uow.db.execute(
            """UPDATE command SET outcome = $3, event_id = $4
               WHERE connection = $1 AND command_id = $2""",
            command.connection,
            command.name(record),
            outcome,
            emitted.event_id,
        )
        await uow.flush()
        COMMANDS_ANSWERED.labels(self.runtime.service.name, outcome).inc()


WARNINGS: Final = TypeAdapter(tuple[AnswerError, ...])


async def consume_commands(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Run the consumer; come back after every failure of the broker."""
    if not runtime.service.commands and not runtime.service.answers_unknown_commands:
        await stop.wait()
    consumer = CommandConsumer(runtime)
    runtime.state["command_consumer"] = consumer
    wait_seconds = 0.2
    while not stop.is_set():
        if not consumer.wanted():
            await pause(stop, 1)
            continue
        try:
            await consumer.run_some(stop)
            wait_seconds = 0.2
        except kafka.AWAY as error:
            log.warning("command consumer starts again", code=type(error).__name__)
            await pause(stop, wait_seconds)
            wait_seconds = min(wait_seconds * 2, 5)
