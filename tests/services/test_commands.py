"""Commands from an agency's topic: done once, answered once, never in the way."""

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from services.errors import Conflict, FieldError, Invalid
from services.ids import new_id
from services.messaging import failpoints
from services.messaging.commands import KNOWN, CommandConsumer, consume_commands, read_command
from services.messaging.directory_reader import read_directory
from services.messaging.kafka import Incoming
from services.messaging.relay import run_relay
from services.service import NAMES, load
from tests.fixtures.messaging import Crash, a_change, a_runtime, a_service, crash, running, until
from tests.fixtures.servers import CONNECTIONS

CONNECTION = CONNECTIONS[0]
ORGANISATION = "330681-CT-0001"


def a_record(headers, data=b"{}"):
    return Incoming(f"agency.{CONNECTION}.in", 0, 7, "", [list(pair) for pair in headers], data)


def test_a_command_without_an_id_is_named_by_its_place():
    read = read_command(a_record([("ce_type", "liandiao.referral.submit.v1")]))

    assert read.command_id is None
    assert read.problem.slug == "malformed"
    assert read.name(a_record([])) == f"agency.{CONNECTION}.in/0/7"


@pytest.mark.parametrize("data", [b"", b"\xc4\xe3\xba\xc3", b"[]", b"null", b"{", b'{"a": NaN}'])
def test_bytes_that_are_no_object_are_malformed(data):
    headers = [("ce_id", str(new_id())), ("ce_type", "liandiao.referral.submit.v1")]

    assert read_command(a_record(headers, data)).problem.slug == "malformed"


def test_a_type_nobody_knows_is_invalid_and_says_where():
    headers = [("ce_id", str(new_id())), ("ce_type", "liandiao.case.eat.v1")]

    assert read_command(a_record(headers)).problem.errors[0].pointer == "/ce_type"


@pytest.mark.parametrize("name", NAMES)
def test_every_known_command_has_its_service_and_no_service_has_another(name):
    mine = {command for command, (service, _) in KNOWN.items() if service == name}

    assert set(load(name).commands) == mine


# -- real servers ---------------------------------------------------------------------------------

real = [pytest.mark.postgres, pytest.mark.kafka]


async def submit(command, uow):
    """Registers a case, or refuses, as the command asks."""
    what = command.data.get("what", "accept")
    case_id = new_id()
    await uow.lock_case(case_id, create=True, case_number="LD2026-310105-0000123-G")
    uow.emit(a_change(case_id))
    await uow.flush()
    if what == "refuse":
        raise Invalid(errors=[FieldError("/claim_fen", "range", "the claim is too large")])
    if what == "conflict":
        raise Conflict()
    if what == "bug":
        raise KeyError("secret value")
    return {"case_id": case_id, "referral_id": new_id(), "case_number": "LD2026-310105-0000123-G"}


@pytest.fixture
async def intake(postgres_server, kafka_server):
    kafka_server.ensure_connection(CONNECTION)
    service = a_service(
        "intake", commands={"referral.submit": submit}, answers_unknown_commands=True
    )
    topic = kafka_server.fresh_topic(2)
    async with a_runtime(
        postgres_server, kafka_server, service=service, topic=topic, instance=topic
    ) as runtime:
        generation = int(topic.rsplit(".", 1)[-1]) + 1000
        runtime.settings = runtime.settings.model_copy(update={"generation": generation})
        await register(runtime, CONNECTION)
        yield runtime


async def register(runtime, connection):
    """The connection stands in the directory."""
    await runtime.pool.execute(
        """INSERT INTO directory_entry (key, version, value) VALUES ($1, 1, $2)""",
        f"connection:{connection}",
        {
            "name": connection,
            "organisations": [ORGANISATION],
            "kafka": True,
            "scopes": ["referral:write"],
            "active": True,
        },
    )
    await runtime.refresh_directory()


async def send(kafka, *commands, connection=CONNECTION):
    """Send ``(headers, data)`` pairs as the connection itself."""
    producer = AIOKafkaProducer(**kafka.client(connection))
    await producer.start()
    for headers, data in commands:
        pairs = [(name, value.encode()) for name, value in headers.items()]
        await producer.send_and_wait(f"agency.{connection}.in", data, headers=pairs)
    await producer.stop()


def a_command(what="accept", type_="referral.submit", **headers):
    id_ = str(new_id())
    found = {"ce_id": id_, "ce_type": f"liandiao.{type_}.v1", **headers}
    data = orjson.dumps({"organisation": ORGANISATION, "reference": id_, "what": what})
    return id_, ({k: v for k, v in found.items() if v}, data)


async def answers(runtime):
    rows = await runtime.pool.fetch(
        "SELECT data FROM outbox WHERE type = 'liandiao.command.answered.v1' ORDER BY id"
    )
    return [orjson.loads(row["data"]) for row in rows]


async def answered(runtime, ids):
    found = await answers(runtime)
    return {a.get("command_id") for a in found} >= set(ids)


@pytest.mark.postgres
@pytest.mark.kafka
async def test_each_command_is_answered_once_with_what_became_of_it(intake, kafka_server):
    wanted = {}
    commands = []
    for what, outcome in (
        ("accept", "accepted"),
        ("refuse", "invalid"),
        ("conflict", "conflict"),
        ("bug", "internal"),
    ):
        id_, command = a_command(what)
        wanted[id_] = outcome
        commands += [command, command]
    id_, command = a_command(type_="case.eat")
    wanted[id_] = "invalid"
    commands.append(command)
    commands.append(a_command(ce_id=None)[1])
    commands.append(a_command(ce_id="no uuid")[1])
    foreign, other = a_command(type_="linkage.answer")
    commands.append(other)
    id_, (headers, _) = a_command()
    wanted[id_] = "malformed"
    commands.append((headers, b"\xc4\xe3"))
    await send(kafka_server, *commands)

    async with running(lambda stop: consume_commands(intake, stop)):
        await until(lambda: answered(intake, [*wanted, None]), 40)

    found = await answers(intake)
    mine = {a["command_id"]: a for a in found if a.get("command_id") in wanted}
    for id_, outcome in wanted.items():
        answer = mine[id_]
        assert answer.get("problem", {"code": "accepted"})["code"] == outcome
    assert all([a.get("command_id") for a in found].count(id_) == 1 for id_ in wanted)
    assert foreign not in {a.get("command_id") for a in found}
    nameless = [a for a in found if a.get("command_id") is None]
    assert len(nameless) >= 2
    assert all(a["topic"] == f"agency.{CONNECTION}.in" and "offset" in a for a in nameless)
    assert "secret value" not in str(found)
    changes = await intake.pool.fetchval(
        "SELECT count(*) FROM outbox WHERE type = 'liandiao.party.changed.v1'"
    )
    assert changes == 1


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_connection_that_comes_later_is_heard_by_the_running_service(intake, kafka_server):
    added = f"{CONNECTION}-{next(kafka_server.numbers)}"
    kafka_server.ensure_connection(added)
    first, command = a_command()
    await send(kafka_server, command)
    async with running(lambda stop: consume_commands(intake, stop)):
        await until(lambda: answered(intake, [first]), 40)
        await register(intake, added)
        later, command = a_command()
        await send(kafka_server, command, connection=added)
        again, command = a_command()
        await send(kafka_server, command)

        await until(lambda: answered(intake, [later, again]), 30)


@pytest.mark.postgres
@pytest.mark.kafka
@pytest.mark.parametrize("place", ["command.before_commit", "command.after_commit"])
async def test_a_service_that_dies_around_the_commit_answers_once(intake, kafka_server, place):
    id_, command = a_command()
    await send(kafka_server, command)
    failpoints.arm(place, 1, crash)
    async with running(lambda stop: consume_commands(intake, stop)) as task:
        await until(task.done, 30)
    assert isinstance(task.exception(), Crash)

    async with running(lambda stop: consume_commands(intake, stop)):
        await until(lambda: answered(intake, [id_]), 40)

    assert [a["outcome"] for a in await answers(intake) if a.get("command_id") == id_] == [
        "accepted"
    ]


@pytest.mark.postgres
async def test_a_connection_without_the_scope_or_the_organisation_is_refused(intake):
    consumer = CommandConsumer(intake)

    from services.errors import Forbidden
    from services.messaging.commands import caller_of

    entry = intake.directory.connection(CONNECTION)
    with pytest.raises(Forbidden):
        caller_of(CONNECTION, entry, {}, "case:leave")
    with pytest.raises(Forbidden):
        caller_of(CONNECTION, entry, {"organisation": "330681-PS-0001"}, "referral:write")
    with pytest.raises(Forbidden):
        caller_of(CONNECTION, None, {}, "referral:write")
    caller = caller_of(CONNECTION, entry, {}, "referral:write")
    assert caller.organisation == ORGANISATION
    assert consumer.wanted() == [f"agency.{CONNECTION}.in"]


# -- the directory --------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.kafka
async def test_the_directory_keeps_the_highest_version_and_obeys_a_tombstone(
    postgres_server, kafka_server
):
    key = f"place:{new_id().int % 10**12:012d}"
    gone = f"place:{new_id().int % 10**12:012d}"
    async with (
        a_runtime(postgres_server, kafka_server, service=a_service("routing")) as owner,
        a_runtime(postgres_server, kafka_server) as reader,
    ):
        async with owner.unit_of_work() as uow:
            uow.publish_directory(key, {"name": "new"}, version=2)
            uow.publish_directory(key, {"name": "late"}, version=1)
            uow.publish_directory(gone, {"name": "x"}, version=1)
        async with owner.unit_of_work() as uow:
            uow.publish_directory(gone, None, version=2)
        async with (
            running(lambda stop: run_relay(owner, stop)),
            running(lambda stop: read_directory(reader, stop)),
        ):
            await until(lambda: (reader.directory.entries.get(key) or {}).get("name") == "new", 40)
            await until(lambda: gone not in reader.directory.entries, 20)

        rows = await reader.pool.fetch(
            "SELECT key, value FROM directory_entry WHERE key = ANY($1::text[])", [key, gone]
        )
        assert {row["key"]: row["value"] and row["value"]["name"] for row in rows}[key] == "new"
        assert {row["key"]: row["value"] for row in rows}.get(gone) is None
