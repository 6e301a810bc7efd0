"""What to look at: addresses of the databases and of Kafka, logs, canaries, and how patiently."""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from services.settings import SharedSettings
from services.verify.report import CannotLook

NAMES: Final = ("intake", "routing", "mediation", "notification")
SUPERUSER: Final = "liandiao_admin"


@dataclass(frozen=True)
class Run:
    """One installation after a run, as an outsider finds it."""

    databases: Mapping[str, str]
    kafka: Mapping[str, Any]
    cases_topic: str = "cases"
    generation: int = 1
    http_logs: tuple[Path, ...] = ()
    logs: tuple[Path, ...] = ()
    metrics: tuple[Path, ...] = ()
    canaries: tuple[str, ...] = ()
    wait_seconds: float = 120.0
    allow_empty: frozenset[str] = field(default_factory=frozenset)
    # Names of invariants; empty means all.
    only: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of_home(cls, home: Path, environ: Mapping[str, str] = os.environ, **more: Any) -> "Run":
        """The installation of a data folder or, where it has none, of the environment.

        ``<SERVICE>_VERIFY_DATABASE_URL`` names another role for looking; the embedded PostgreSQL is
        read as its superuser, so that row-level security hides no note. Raises ``CannotLook``.
        """
        known = {**_json(home / "environment.json"), **environ}
        secret = _json(home / "secrets.json").get("postgres")
        return cls(
            databases={name: _database(name, known, environ, secret) for name in NAMES},
            kafka=_kafka(known),
            cases_topic=known.get("LIANDIAO_CASES_TOPIC", "cases"),
            generation=int(known.get("LIANDIAO_GENERATION", "1")),
            **{
                "http_logs": tuple(sorted((home / "logs").glob("http*.jsonl"))),
                "logs": tuple(sorted((home / "logs").glob("*.log"))),
                "metrics": tuple(sorted((home / "logs").glob("metrics*.txt"))),
                **more,
            },
        )


def _json(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CannotLook(f"{file} cannot be read: {type(error).__name__}") from error
    return found


def _database(
    name: str, known: Mapping[str, str], environ: Mapping[str, str], secret: str | None
) -> str:
    given = environ.get(f"{name.upper()}_VERIFY_DATABASE_URL")
    url = given or known.get(f"{name.upper()}_DATABASE_URL")
    if not url:
        raise CannotLook(
            f"{name.upper()}_DATABASE_URL is not known: start the stack with make run, or set it"
        )
    if given or not secret or environ.get(f"{name.upper()}_DATABASE_URL"):
        return url
    parts = urlsplit(url)
    place = f"{SUPERUSER}:{secret}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=place))


def _kafka(known: Mapping[str, str]) -> dict[str, Any]:
    """Arguments for aiokafka: the administrator when there is one, else notification's user."""
    shared = SharedSettings.model_validate(
        {
            name: known[name]
            for name in (
                "KAFKA_BOOTSTRAP_SERVERS",
                "KAFKA_SECURITY_PROTOCOL",
                "KAFKA_SASL_MECHANISM",
                "KAFKA_SSL_CA_FILE",
            )
            if known.get(name)
        }
    )
    answer: dict[str, Any] = {
        "bootstrap_servers": shared.kafka_bootstrap_servers,
        "security_protocol": shared.kafka_security_protocol,
    }
    if shared.kafka_security_protocol.startswith("SASL"):
        who = "KAFKA_ADMIN" if known.get("KAFKA_ADMIN_PASSWORD") else "NOTIFICATION_KAFKA"
        answer |= {
            "sasl_mechanism": shared.kafka_sasl_mechanism,
            "sasl_plain_username": known.get(f"{who}_USER", ""),
            "sasl_plain_password": known.get(f"{who}_PASSWORD", ""),
        }
    if shared.kafka_security_protocol.endswith("SSL"):
        answer["ssl_context"] = ssl.create_default_context(cafile=shared.kafka_ssl_ca_file)
    return answer
