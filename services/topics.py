"""Topics, SCRAM users and access lists of the Kafka cluster, from data in ``deploy/``.

The same for the embedded Kafka and for a site's own: settings say where it is and who may
administer it (``KAFKA_ADMIN_USER``, ``KAFKA_ADMIN_PASSWORD``).
"""

import itertools
import json
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.stack.console import say
from services.stack.home import ROOT, write_private

SERVICES = ("intake", "routing", "mediation", "notification")
TOPICS_FILE = ROOT / "deploy" / "topics.json"
ACLS_FILE = ROOT / "deploy" / "acls.json"
SECONDS = 30.0
ITERATIONS = 4096


class TopicsError(Exception):
    """The cluster refused; the message is one plain sentence."""


@dataclass(frozen=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class Grant:
    """One operation one principal may do."""

    principal: str
    resource: str
    name: str
    pattern: str
    operation: str


def topics(connections: Iterable[str], path: Path = TOPICS_FILE) -> list[Topic]:
    """The inner topics and a pair for each connection."""
    data = json.loads(path.read_text(encoding="utf-8"))
    wanted = [(name, value) for name, value in data["topics"].items()]
    for connection, (name, value) in itertools.product(
        connections, data["connection_topics"].items()
    ):
        wanted.append((name.replace("{connection}", connection), value))
    return [Topic(name, value["partitions"], value["config"]) for name, value in wanted]


def grants(connections: Iterable[str], path: Path = ACLS_FILE) -> list[Grant]:
    """Every grant, expanded over services and connections."""
    data = json.loads(path.read_text(encoding="utf-8"))
    values = {"service": list(SERVICES), "connection": list(connections)}
    return list(
        dict.fromkeys(
            Grant(
                row["principal"].format_map(names),
                row["resource"],
                row["name"].format_map(names),
                row["pattern"],
                operation,
            )
            for row in data["grants"]
            for names in _expansions(row["each"], values)
            for operation in row["operations"]
        )
    )


def _expansions(each: list[str], values: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    for combination in itertools.product(*(values[name] for name in each)):
        yield dict(zip(each, combination, strict=True))


class Cluster:
    """Administration of one Kafka cluster."""

    def __init__(self, client_settings: Mapping[str, str]) -> None:
        from confluent_kafka.admin import AdminClient

        logger = logging.getLogger("liandiao.kafka-admin")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        self.admin: Any = AdminClient(dict(client_settings), logger=logger)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Cluster":
        """The cluster of ``KAFKA_BOOTSTRAP_SERVERS`` with the administrator's name."""
        protocol = environ.get("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        settings = {
            "bootstrap.servers": environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092"),
            "security.protocol": protocol,
            "reconnect.backoff.ms": "50",
            "reconnect.backoff.max.ms": "500",
        }
        if protocol.startswith("SASL"):
            if not environ.get("KAFKA_ADMIN_PASSWORD"):
                raise TopicsError(
                    "KAFKA_ADMIN_USER and KAFKA_ADMIN_PASSWORD are not set: "
                    "they name who may administer the Kafka cluster."
                )
            settings |= {
                "sasl.mechanism": environ.get("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256"),
                "sasl.username": environ.get("KAFKA_ADMIN_USER", "admin"),
                "sasl.password": environ["KAFKA_ADMIN_PASSWORD"],
            }
        if environ.get("KAFKA_SSL_CA_FILE"):
            settings["ssl.ca.location"] = environ["KAFKA_SSL_CA_FILE"]
        return cls(settings)

    def apply_topics(self, wanted: list[Topic]) -> list[str]:
        """Create what is missing, set what differs; answers what was created.

        Raises ``TopicsError`` when a topic has another number of partitions.
        """
        from confluent_kafka.admin import NewTopic

        found = self._metadata()
        replicas = 3 if len(found.brokers) >= 3 else 1
        present = {name: len(topic.partitions) for name, topic in found.topics.items()}
        for topic in wanted:
            if present.get(topic.name, topic.partitions) != topic.partitions:
                raise TopicsError(
                    f"Topic {topic.name} has {present[topic.name]} partitions and should have "
                    f"{topic.partitions}: partitions are never altered, make a new generation."
                )
        floor = {"min.insync.replicas": "2" if replicas == 3 else "1"}
        missing = [topic for topic in wanted if topic.name not in present]
        made = [
            NewTopic(t.name, t.partitions, replicas, config={**t.config, **floor}) for t in missing
        ]
        if made:
            self._wait(self.admin.create_topics(made, operation_timeout=SECONDS), "exists")
        self._set_configs([topic for topic in wanted if topic.name in present])
        return [topic.name for topic in missing]

    def _metadata(self) -> Any:
        from confluent_kafka import KafkaException

        try:
            return self.admin.list_topics(timeout=SECONDS)
        except KafkaException as error:
            raise TopicsError(
                f"The Kafka cluster cannot be administered: {error.args[0].str()}."
            ) from None

    def _set_configs(self, present: list[Topic]) -> None:
        from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

        if not present:
            return
        asked = [ConfigResource("topic", topic.name) for topic in present]
        differing = []
        answers = self.admin.describe_configs(asked, request_timeout=SECONDS)
        values = {resource.name: future.result(SECONDS) for resource, future in answers.items()}
        for topic in present:
            entries = [
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in topic.config.items()
                if values[topic.name][name].value != value
            ]
            if entries:
                differing.append(ConfigResource("topic", topic.name, incremental_configs=entries))
        if differing:
            self._wait(self.admin.incremental_alter_configs(differing), "")

    def apply_users(self, passwords: Mapping[str, str]) -> None:
        """Give each SCRAM user its password."""
        from confluent_kafka.admin import (
            ScramCredentialInfo,
            ScramMechanism,
            UserScramCredentialUpsertion,
        )

        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, ITERATIONS)
        changes = [
            UserScramCredentialUpsertion(user, info, password.encode())
            for user, password in passwords.items()
        ]
        if changes:
            self._wait(self.admin.alter_user_scram_credentials(changes), "")

    def apply_grants(self, wanted: list[Grant]) -> None:
        """Add the access lists and wait until the broker obeys them; the others stay."""
        from confluent_kafka.admin import (
            AclBinding,
            AclBindingFilter,
            AclOperation,
            AclPermissionType,
            ResourcePatternType,
            ResourceType,
        )

        bindings = [
            AclBinding(
                ResourceType[grant.resource.upper()],
                grant.name,
                ResourcePatternType[grant.pattern.upper()],
                f"User:{grant.principal}",
                "*",
                AclOperation[grant.operation.upper()],
                AclPermissionType.ALLOW,
            )
            for grant in wanted
        ]
        if bindings:
            self._wait(self.admin.create_acls(bindings, request_timeout=SECONDS), "")
        any_of: Any = None
        everything = AclBindingFilter(
            ResourceType.ANY,
            any_of,
            ResourcePatternType.ANY,
            any_of,
            any_of,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        end = time.monotonic() + SECONDS
        while set(bindings) - set(self.admin.describe_acls(everything).result(SECONDS)):
            if time.monotonic() > end:
                raise TopicsError("The Kafka cluster took the access lists but does not obey them.")
            time.sleep(0.05)

    @staticmethod
    def _wait(futures: Mapping[Any, Any], tolerated: str) -> None:
        from confluent_kafka import KafkaError, KafkaException

        for future in futures.values():
            try:
                future.result(SECONDS)
            except KafkaException as error:
                code = error.args[0].code()
                if tolerated == "exists" and code == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                raise TopicsError(
                    f"The Kafka cluster refused a change: {error.args[0].str()}."
                ) from None


def _users_file(environ: Mapping[str, str]) -> Path:
    home = Path(environ.get("LIANDIAO_HOME", ROOT / ".liandiao"))
    return Path(environ.get("LIANDIAO_KAFKA_USERS_FILE", home / "kafka-users.json"))


def connection_passwords(
    names: Iterable[str], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The Kafka passwords of connections, kept in a file of mode 0600; new ones are made."""
    path = _users_file(environ)
    try:
        kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        kept = {}
    missing = [name for name in names if name not in kept]
    if missing:
        kept |= {name: secrets.token_hex(32) for name in missing}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps(kept, indent=2) + "\n")
    return {name: kept[name] for name in names}


def kafka_connections(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The connections that use Kafka, from the clients file and those added later."""
    path = Path(environ.get("LIANDIAO_CLIENTS_FILE", ROOT / ".liandiao" / "clients.json"))
    names: list[str] = []
    if path.exists():
        clients = json.loads(path.read_text(encoding="utf-8"))["clients"]
        names = [client["connection"] for client in clients if client.get("kafka")]
    users = _users_file(environ)
    added = json.loads(users.read_text(encoding="utf-8")) if users.exists() else {}
    return list(dict.fromkeys([*names, *added]))


def apply(
    cluster: Cluster, connections: list[str], passwords: Mapping[str, str] | None
) -> list[str]:
    """Bring the cluster to the data of ``deploy/``; answers the topics that were created.

    Without ``passwords`` the cluster knows its users from elsewhere and only topics are made.
    """
    if passwords is not None:
        cluster.apply_users(passwords)
    made = cluster.apply_topics(topics(connections))
    if passwords is not None:
        cluster.apply_grants(grants(connections))
    return made


def _service_passwords(environ: Mapping[str, str]) -> dict[str, str]:
    answer = {}
    for service in SERVICES:
        password = environ.get(f"{service.upper()}_KAFKA_PASSWORD")
        if password:
            answer[environ.get(f"{service.upper()}_KAFKA_USER", f"svc-{service}")] = password
    return answer


def apply_from_environment(environ: Mapping[str, str] = os.environ) -> None:
    """What ``liandiao topics`` does: topics, users and access lists, safe to repeat."""
    connections = kafka_connections(environ)
    with_users = environ.get("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT").startswith("SASL")
    passwords = None
    if with_users:
        passwords = _service_passwords(environ) | connection_passwords(connections, environ)
    try:
        made = apply(Cluster.from_environment(environ), connections, passwords)
    except TopicsError as error:
        raise SystemExit(str(error)) from None
    say(f"{len(made)} topics created, {len(connections)} connections may use Kafka.")


def ensure_connection(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Give a connection its pair of topics, its user and its rights; answers its password."""
    with_users = environ.get("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT").startswith("SASL")
    passwords = connection_passwords([name], environ) if with_users else None
    try:
        apply(Cluster.from_environment(environ), [name], passwords)
    except TopicsError as error:
        raise SystemExit(str(error)) from None
    return passwords[name] if passwords else ""


__all__ = ["Cluster", "apply", "apply_from_environment", "ensure_connection", "grants", "topics"]
