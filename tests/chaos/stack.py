"""The embedded stack with a proxy before PostgreSQL and Kafka: ``python -m tests.chaos.stack``.

The services reach both through the proxies; migrations, seeding and the checker reach PostgreSQL
directly. Kafka tells everybody the proxy's address, so that nobody passes it by.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.stack import layout, supervisor
from services.stack.kafka import Kafka
from services.stack.layout import Settings
from services.stack.postgres import Postgres
from tests.e2e.running import RunningStack

POSTGRES: Final = "CHAOS_POSTGRES_PORT"
KAFKA: Final = "CHAOS_KAFKA_PORT"


class ProxiedKafka(Kafka):
    """A broker that says it lives where the proxy listens."""

    def properties(self) -> dict[str, str]:
        """The configuration with the proxy's address."""
        told = f"SASL_PLAINTEXT://127.0.0.1:{os.environ[KAFKA]}"
        return {**super().properties(), "advertised.listeners": told}


class ProxiedSettings(Settings):
    """Settings whose services are sent to the proxies."""

    @property
    def bootstrap(self) -> str:
        """The proxy before Kafka."""
        return f"127.0.0.1:{self.environ[KAFKA]}"

    def child(self, service: str, postgres: Postgres | None) -> dict[str, str]:
        """A service's environment, its database behind the proxy."""
        environ = super().child(service, postgres)
        name = f"{service.upper()}_DATABASE_URL"
        direct = f":{self.ports['postgres']}/"
        environ[name] = environ[name].replace(direct, f":{self.environ[POSTGRES]}/")
        return environ


class ProxiedSupervisor(supervisor.Supervisor):
    """The supervisor of such a stack."""

    def _settings(self) -> Settings:
        return ProxiedSettings(**vars(super()._settings()))

    def _kafka(self) -> Kafka:
        return ProxiedKafka(**vars(super()._kafka()))


class ProxiedStack(RunningStack):
    """A running stack behind two proxies; ``places`` says which port leads where."""

    command_line = ("tests.chaos.stack",)

    def __init__(self, home: Path, base: int, proxies: Sequence[int]) -> None:
        super().__init__(home, base)
        there = layout.ports({"LIANDIAO_PORT_BASE": str(base)})
        self.places = {
            name: (port, there[name])
            for name, port in zip(("kafka", "postgres"), proxies, strict=True)
        }
        self.environ |= {
            variable: str(self.places[name][0])
            for variable, name in ((KAFKA, "kafka"), (POSTGRES, "postgres"))
        }


if __name__ == "__main__":
    sys.exit(ProxiedSupervisor(os.environ, play=False).run())
