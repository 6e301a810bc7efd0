"""What one installation looks like: its ports, and the settings each process is given."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.stack.console import StackError
from services.stack.home import ROOT, Home
from services.stack.postgres import SERVICES, Postgres

DEFAULTS = {
    "intake": 8001,
    "routing": 8002,
    "mediation": 8003,
    "notification": 8004,
    "kafka": 19092,
    "kafka_controller": 19093,
    "postgres": 15432,
}


def ports(environ: Mapping[str, str]) -> dict[str, int]:
    """The seven ports: the usual ones, or those following ``LIANDIAO_PORT_BASE``.

    With base 9000: intake 9001 … notification 9004, Kafka 9005 and 9006, PostgreSQL 9007.
    """
    given = environ.get("LIANDIAO_PORT_BASE", "").strip()
    if not given:
        return dict(DEFAULTS)
    if not given.isdigit() or not 1023 <= int(given) <= 65528:
        raise StackError("LIANDIAO_PORT_BASE must be a number from 1023 to 65528.")
    return {name: int(given) + place for place, name in enumerate(DEFAULTS, start=1)}


def is_free(port: int) -> bool:
    """Whether nobody listens there and we may."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_base(start: int = 18000) -> int:
    """A base after which seven ports are free."""
    for base in range(start, 60000, 100):
        if all(is_free(base + place) for place in range(1, len(DEFAULTS) + 1)):
            return base
    raise StackError("No seven free ports in a row were found.")


def check_ports(wanted: Mapping[str, int]) -> None:
    """Refuse with one sentence when a port is taken."""
    for name, port in wanted.items():
        if not is_free(port):
            raise StackError(
                f"Port {port} (for {name.replace('_', ' ')}) is taken by another program: stop it, "
                f"or use other ports with: make run LIANDIAO_PORT_BASE={free_base()}"
            )


@dataclass(frozen=True)
class Settings:
    """Which parts are ours, and the environment of every process."""

    environ: Mapping[str, str]
    home: Home
    ports: Mapping[str, int]
    secrets: Mapping[str, str]
    client_secrets: Mapping[str, str]
    test_installation: bool

    @property
    def own_kafka(self) -> bool:
        """Whether Kafka is the embedded one."""
        return not self.environ.get("KAFKA_BOOTSTRAP_SERVERS")

    @property
    def own_postgres(self) -> bool:
        """Whether PostgreSQL is the embedded one; all four addresses or none must be given."""
        given = [s for s in SERVICES if self.environ.get(f"{s.upper()}_DATABASE_URL")]
        if given and len(given) != len(SERVICES):
            missing = ", ".join(f"{s.upper()}_DATABASE_URL" for s in SERVICES if s not in given)
            raise StackError(f"Some databases are given and others are not: set {missing} too.")
        return not given

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return self.environ.get("KAFKA_BOOTSTRAP_SERVERS") or f"127.0.0.1:{self.ports['kafka']}"

    def url(self, service: str) -> str:
        """A service's address."""
        return self.environ.get(f"{service.upper()}_URL") or (
            f"http://127.0.0.1:{self.ports[service]}"
        )

    def common(self) -> dict[str, str]:
        """What every service is told."""
        home, environ = self.home, self.environ
        answer = {
            "LIANDIAO_HOME": str(home.path),
            "LIANDIAO_BIND": environ.get("LIANDIAO_BIND", "127.0.0.1"),
            "LIANDIAO_KEYS_DIR": environ.get("LIANDIAO_KEYS_DIR", str(home.folder("keys"))),
            "LIANDIAO_SPOOL_DIR": environ.get("LIANDIAO_SPOOL_DIR", str(home.folder("spool"))),
            "LIANDIAO_SAMPLES_DIR": environ.get("LIANDIAO_SAMPLES_DIR", str(ROOT / "samples")),
            "LIANDIAO_CLIENTS_FILE": str(home.path / "clients.json"),
            "LIANDIAO_TEST_INSTALLATION": "true" if self.test_installation else "false",
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
            "PYTHONUNBUFFERED": "1",
        }
        if not self.own_kafka:
            for name in ("KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM"):
                answer[name] = environ.get(name, answer[name])
        for service in SERVICES:
            answer[f"{service.upper()}_URL"] = self.url(service)
        return answer

    def of_service(self, service: str, postgres: Postgres | None) -> dict[str, str]:
        """A service's own settings: database, Kafka user, client, port."""
        upper, client = service.upper(), f"svc-{service}"
        answer = {
            f"{upper}_PORT": str(self.ports[service]),
            f"{upper}_CLIENT_ID": client,
            f"{upper}_CLIENT_SECRET": self.client_secrets[client],
            "SVC_CLIENT_ID": client,
            "SVC_CLIENT_SECRET": self.client_secrets[client],
        }
        if service == "intake":
            folder = self.environ.get("INTAKE_FILES_DIR", str(self.home.folder("files")))
            answer["INTAKE_FILES_DIR"] = folder
        if service == "notification" and self.test_installation:
            name = "NOTIFICATION_WEBHOOK_LOOPBACK"  # a demonstration's receiver is this machine's
            answer[name] = self.environ.get(name, "true")
        if self.own_kafka:
            answer[f"{upper}_KAFKA_USER"] = client
            answer[f"{upper}_KAFKA_PASSWORD"] = self.secrets[f"{service}_kafka"]
        if postgres is not None:
            answer[f"{upper}_DATABASE_URL"] = postgres.url(
                f"liandiao_{service}", f"{service}_app", self.secrets[f"{service}_app"]
            )
        return answer

    def of_steps(self, postgres: Postgres | None) -> dict[str, str]:
        """What migrating, seeding and the command line are told: all services and the admin."""
        answer = self.common()
        for service in SERVICES:
            answer |= self.of_service(service, postgres)
            migrator = f"{service.upper()}_MIGRATOR_DATABASE_URL"
            if postgres is not None:
                answer[migrator] = postgres.url(
                    f"liandiao_{service}",
                    f"{service}_migrator",
                    self.secrets[f"{service}_migrator"],
                )
            else:
                plain = self.environ[f"{service.upper()}_DATABASE_URL"]
                answer[migrator] = self.environ.get(migrator, plain)
                answer[f"{service.upper()}_DATABASE_URL"] = plain
        if self.own_kafka:
            answer["KAFKA_ADMIN_USER"] = "admin"
            answer["KAFKA_ADMIN_PASSWORD"] = self.secrets["kafka_admin"]
        answer.pop("SVC_CLIENT_ID")
        answer.pop("SVC_CLIENT_SECRET")
        return answer

    def inherited(self) -> dict[str, str]:
        """Our own environment less other processes' secrets, for a child."""
        hidden = ("_DATABASE_URL", "_KAFKA_PASSWORD", "_CLIENT_SECRET", "KAFKA_ADMIN_PASSWORD")
        return {k: v for k, v in self.environ.items() if not k.endswith(hidden)}

    def child(self, service: str, postgres: Postgres | None) -> dict[str, str]:
        """The whole environment of one service's process; of secrets only its own."""
        own = {k: v for k, v in self.environ.items() if k.startswith(f"{service.upper()}_")}
        own.pop(f"{service.upper()}_MIGRATOR_DATABASE_URL", None)
        return self.inherited() | own | self.common() | self.of_service(service, postgres)


def samples_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the demonstration county."""
    return Path(environ.get("LIANDIAO_SAMPLES_DIR", ROOT / "samples"))
