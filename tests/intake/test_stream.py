"""Commands on a real topic: every bad file is answered by Kafka as it is by REST."""

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from intake import sealing
from intake.keys import keys_of
from intake.settings import IntakeSettings
from intake.wiring import INTAKE
from services.ids import new_id
from services.messaging.commands import consume_commands
from services.runtime import Runtime
from tests.fixtures.messaging import running, until
from tests.fixtures.servers import KafkaServer, PostgresServer
from tests.intake.world import COURT, SAMPLES, SENDER, directory

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]

CONNECTION = "intake-bad-files"
with (SAMPLES / "bad" / "expected.csv").open(encoding="utf-8", newline="") as file:
    EXPECTED = {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture
async def runtime(
    postgres_server: PostgresServer, kafka_server: KafkaServer, tmp_path: Path
) -> AsyncIterator[Runtime]:
    """Intake's worker on real servers, with one connection that speaks for several bodies."""
    kafka_server.ensure_connection(CONNECTION)
    database = await postgres_server.fresh_database("intake")
    settings = IntakeSettings(
        database_url=database.url,
        KAFKA_BOOTSTRAP_SERVERS=kafka_server.bootstrap,
        LIANDIAO_KEYS_DIR=tmp_path / "keys",
        LIANDIAO_GENERATION=7001,
        kafka_user="svc-intake",
        kafka_password=kafka_server.passwords["svc-intake"],
    )
    made = await Runtime.open(INTAKE, settings)
    for key, value in directory().entries.items():
        if not key.startswith("connection:"):
            made.directory.put(key, 1, value)
    entry = {
        "name": CONNECTION,
        "organisations": senders(),
        "kafka": True,
        "scopes": list(SENDER),
        "active": True,
    }
    made.directory.put(f"connection:{CONNECTION}", 1, entry)
    yield made
    await made.close()
    await postgres_server.drop(database)


def sent_by(body: bytes) -> tuple[str, str]:
    """Organisation and reference of a file, as far as it can be read."""
    try:
        source = json.loads(body)["source"]
        return source["organisation"], source["reference"]
    except (ValueError, RecursionError):
        return COURT, "unreadable"


def senders() -> list[str]:
    """Everybody who sends one of the files."""
    return sorted({sent_by((SAMPLES / "bad" / name).read_bytes())[0] for name in EXPECTED})


async def test_every_bad_file_is_answered_as_by_rest(
    runtime: Runtime, kafka_server: KafkaServer
) -> None:
    key = keys_of(runtime).sealing.public()[-1]
    producer = AIOKafkaProducer(**kafka_server.client(CONNECTION), max_request_size=300_000)
    await producer.start()
    asked: dict[str, str] = {}
    for name in sorted(EXPECTED):
        body = (SAMPLES / "bad" / name).read_bytes()
        organisation, reference = sent_by(body)
        data = {
            "organisation": organisation,
            "reference": reference,
            "sealed": sealing.seal(body, key),
        }
        command_id = str(new_id())
        asked[command_id] = name
        headers = [
            ("ce_id", command_id.encode()),
            ("ce_type", b"liandiao.referral.submit.v1"),
        ]
        record = json.dumps(data).encode()
        await producer.send_and_wait(f"agency.{CONNECTION}.in", record, headers=headers)
    await producer.stop()

    async def all_answered() -> bool:
        return {a.get("command_id") for a in await answers(runtime)} >= set(asked)

    async with running(lambda stop: consume_commands(runtime, stop)):
        await until(all_answered, seconds=120)

    for answer in await answers(runtime):
        row = EXPECTED[asked[answer["command_id"]]]
        if row["outcome"] == "refused":
            found = [(e["pointer"], e["code"]) for e in answer["problem"]["errors"]]
            assert found == [(row["json_pointer"], row["rule"])], row["file"]
            assert "answered_case_id" not in answer
        else:
            assert answer["outcome"] == "accepted", row["file"]
            assert answer["case_number"]
            if row["outcome"] == "accepted_with_warning":
                place = (row["json_pointer"], row["rule"])
                assert place in [(w["pointer"], w["code"]) for w in answer["warnings"]]
    refused = sum(row["outcome"] == "refused" for row in EXPECTED.values())
    repeated = sum(row["rule"] == "idempotent_repeat" for row in EXPECTED.values())
    cases = await runtime.pool.fetchval("SELECT count(*) FROM case_file")
    assert cases == len(EXPECTED) - refused - repeated


async def answers(runtime: Runtime) -> list[dict[str, Any]]:
    """Every answer in the outbox, in order."""
    rows = await runtime.pool.fetch(
        "SELECT data FROM outbox WHERE type = 'liandiao.command.answered.v1' ORDER BY id"
    )
    return [json.loads(row["data"]) for row in rows]
