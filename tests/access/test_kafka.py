"""What the broker itself says each principal may do equals what deploy/acls.json declares."""

from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from services import topics
from services.client import waiting
from services.stack.postgres import SERVICES
from tests.fixtures.servers import CONNECTIONS, KafkaServer

pytestmark = pytest.mark.kafka

STRANGERS = ("cases.replay.1", "somebody-elses")
# What the broker may answer for a topic or a group, in deploy/acls.json's words.
TOPIC_WORDS = {
    "read",
    "write",
    "create",
    "delete",
    "alter",
    "describe",
    "describe_configs",
    "alter_configs",
}
STARTING = {"NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"}
# Kafka's own rule: who may read, write, delete or alter may also describe.
IMPLY_DESCRIBE = {"read", "write", "delete", "alter"}
IMPLY_DESCRIBE_CONFIGS = {"alter_configs"}


def _settings(server: KafkaServer, user: str, password: str) -> dict[str, str]:
    return {
        "bootstrap.servers": server.bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "SCRAM-SHA-256",
        "sasl.username": user,
        "sasl.password": password,
        "log_level": "0",
    }


def _declared(principal: str, resource: str, name: str) -> set[str]:
    found = {
        grant.operation
        for grant in topics.grants(CONNECTIONS)
        if grant.principal == principal
        and grant.resource == resource
        and (grant.name == name if grant.pattern == "literal" else name.startswith(grant.name))
    }
    if found & IMPLY_DESCRIBE:
        found.add("describe")
    if found & IMPLY_DESCRIBE_CONFIGS:
        found.add("describe_configs")
    return found


def _words(operations: object, words: set[str]) -> set[str]:
    assert isinstance(operations, list)
    return {operation.name.lower() for operation in operations} & words


@pytest.fixture(scope="module")
def strange_topics(kafka_server: KafkaServer) -> tuple[str, ...]:
    """Topics that exist although nobody was given them, or only by a prefix."""
    kafka_server.cluster.apply_topics([topics.Topic(name, 1, {}) for name in STRANGERS])
    return STRANGERS


PRINCIPALS = (*(f"svc-{service}" for service in SERVICES), *CONNECTIONS)


def _answer(future: Any, denied: str) -> Any:
    """What the broker answers, None for denied. Raises what it says otherwise."""
    try:
        return future.result()
    except KafkaException as error:
        if error.args[0].name() != denied:
            raise
        return None


def _of_topics(client: AdminClient, names: list[str]) -> dict[str, set[str]]:
    described = client.describe_topics(
        TopicCollection(names), include_authorized_operations=True, request_timeout=20
    )
    answers = {n: _answer(f, "TOPIC_AUTHORIZATION_FAILED") for n, f in described.items()}
    return {
        n: _words(a.authorized_operations, TOPIC_WORDS) if a else set() for n, a in answers.items()
    }


def _may_describe(client: AdminClient, groups: list[str]) -> set[str]:
    """The groups of which one is told that they are not there, or how they are."""
    told = set()
    for name, future in client.describe_consumer_groups(groups, request_timeout=20).items():
        for _ in waiting(20):
            try:
                future.result()
                told.add(name)
            except KafkaException as error:
                word = error.args[0].name()
                if word in STARTING:
                    (future,) = client.describe_consumer_groups([name]).values()
                    continue
                if word == "GROUP_ID_NOT_FOUND":
                    told.add(name)
                elif word != "GROUP_AUTHORIZATION_FAILED":
                    raise
            break
    return told


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_a_principal_may_do_to_each_topic_what_is_declared_and_nothing_else(
    principal: str, kafka_server: KafkaServer, strange_topics: tuple[str, ...]
) -> None:
    client = AdminClient(_settings(kafka_server, principal, kafka_server.passwords[principal]))
    names = [*(topic.name for topic in topics.topics(CONNECTIONS)), *strange_topics]

    found = _of_topics(client, names)

    assert found == {name: _declared(principal, "topic", name) & TOPIC_WORDS for name in names}


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_a_principal_sees_its_own_groups_and_may_do_nothing_to_the_cluster(
    principal: str, kafka_server: KafkaServer
) -> None:
    client = AdminClient(_settings(kafka_server, principal, kafka_server.passwords[principal]))
    groups = [f"{other.removeprefix('svc-')}.cases" for other in PRINCIPALS]

    told = _may_describe(client, groups)
    cluster = client.describe_cluster(include_authorized_operations=True, request_timeout=20)

    assert told == {g for g in groups if "describe" in _declared(principal, "group", g)}
    assert len(told) == 1
    assert cluster.result().authorized_operations in ([], None)


@pytest.mark.parametrize(
    ("user", "password"),
    [("nobody", "x"), ("", ""), ("admin", "wrong"), (f"svc-{SERVICES[0]}", "wrong")],
)
def test_who_cannot_log_in_learns_nothing(
    user: str, password: str, kafka_server: KafkaServer
) -> None:
    settings = _settings(kafka_server, user, password)
    if not user:
        settings = {
            "bootstrap.servers": kafka_server.bootstrap,
            "security.protocol": "PLAINTEXT",
            "log_level": "0",
        }
    client = AdminClient(settings)

    with pytest.raises(KafkaException):
        client.list_topics(timeout=3)
