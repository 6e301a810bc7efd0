"""Topics, users and rights on a real Kafka, from the data in deploy/."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)

from services import topics
from tests.fixtures.servers import CONNECTIONS, KafkaServer

COURT, POLICE = CONNECTIONS[0], CONNECTIONS[1]


def test_a_pair_of_topics_for_each_connection_beside_the_inner_ones() -> None:
    names = [topic.name for topic in topics.topics(["o-1"])]

    assert names == ["cases", "directory", "agency.o-1.in", "agency.o-1.out"]


def test_cases_has_24_partitions_and_append_time_and_directory_is_compacted() -> None:
    cases, directory = topics.topics([])

    assert cases.partitions == 24
    assert cases.config["message.timestamp.type"] == "LogAppendTime"
    assert directory.partitions == 1
    assert directory.config["cleanup.policy"] == "compact"


def test_a_connection_may_write_only_its_in_and_read_only_its_out() -> None:
    rights = {
        (grant.name, grant.operation)
        for grant in topics.grants(["o-1", "o-2"])
        if grant.principal == "o-1" and grant.resource == "topic"
    }

    assert {name for name, operation in rights if operation == "write"} == {"agency.o-1.in"}
    assert {name for name, operation in rights if operation == "read"} == {"agency.o-1.out"}
    assert {operation for _, operation in rights} == {"read", "write", "describe"}


def test_only_routing_and_intake_write_the_directory_and_only_notification_an_out() -> None:
    writers = {
        name: {
            g.principal for g in topics.grants(["o-1"]) if (g.name, g.operation) == (name, "write")
        }
        for name in ("directory", "agency.o-1.out", "cases")
    }

    assert writers["directory"] == {"svc-routing", "svc-intake"}
    assert writers["agency.o-1.out"] == {"svc-notification"}
    assert len(writers["cases"]) == 4


async def _send(server: KafkaServer, user: str, topic: str) -> None:
    producer = AIOKafkaProducer(**server.client(user), enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"{}")
    finally:
        await producer.stop()


async def _read(server: KafkaServer, user: str, topic: str, group: str | None) -> int:
    consumer = AIOKafkaConsumer(
        topic, **server.client(user), group_id=group, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        await asyncio.wait_for(consumer.getone(), 20)
        return 1
    finally:
        await consumer.stop()


@pytest.mark.kafka
async def test_an_agency_writes_its_in_and_reads_its_out(kafka_server: KafkaServer) -> None:
    await _send(kafka_server, COURT, f"agency.{COURT}.in")
    await _send(kafka_server, "svc-notification", f"agency.{COURT}.out")

    assert await _read(kafka_server, COURT, f"agency.{COURT}.out", f"{COURT}.reader") == 1
    assert await _read(kafka_server, "svc-intake", f"agency.{COURT}.in", "intake.commands") == 1


@pytest.mark.kafka
@pytest.mark.parametrize(
    "topic", ["cases", "directory", f"agency.{POLICE}.in", f"agency.{COURT}.out"]
)
async def test_an_agency_is_refused_when_it_writes_elsewhere(
    kafka_server: KafkaServer, topic: str
) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        await _send(kafka_server, COURT, topic)


@pytest.mark.kafka
@pytest.mark.parametrize(
    "topic", ["cases", "directory", f"agency.{POLICE}.out", f"agency.{COURT}.in"]
)
async def test_an_agency_is_refused_when_it_reads_elsewhere(
    kafka_server: KafkaServer, topic: str
) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        await _read(kafka_server, COURT, topic, f"{COURT}.reader")


@pytest.mark.kafka
async def test_an_agency_is_refused_under_another_group_name(kafka_server: KafkaServer) -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        await _read(kafka_server, COURT, f"agency.{COURT}.out", f"{POLICE}.reader")


@pytest.mark.kafka
async def test_a_wrong_password_is_refused(kafka_server: KafkaServer) -> None:
    producer = AIOKafkaProducer(**kafka_server.client(COURT) | {"sasl_plain_password": "wrong"})

    try:
        with pytest.raises(KafkaConnectionError):
            await producer.start()
    finally:
        await producer.stop()


@pytest.mark.kafka
def test_applying_again_changes_nothing_and_a_new_connection_gets_its_pair(
    kafka_server: KafkaServer,
) -> None:
    assert topics.apply(kafka_server.cluster, list(CONNECTIONS), {}) == []

    kafka_server.ensure_connection("o-new")

    found = kafka_server.cluster.admin.list_topics(timeout=20).topics
    assert {"agency.o-new.in", "agency.o-new.out"} <= set(found)


@pytest.mark.kafka
def test_another_number_of_partitions_is_refused_never_altered(kafka_server: KafkaServer) -> None:
    with pytest.raises(topics.TopicsError, match="partitions are never altered"):
        kafka_server.cluster.apply_topics([topics.Topic("cases", 48, {})])
