"""Settings files for a deployment of its own: secrets made once, one file per service.

What compose.yaml and the systemd units read. Safe to repeat: what is there stays.
"""

import base64
import json
import uuid
from pathlib import Path

from services.stack import identity
from services.stack.home import ROOT, Home, write_private
from services.stack.postgres import SERVICES, new_password


def write(folder: Path, *, postgres: str, kafka: str, urls: str) -> list[Path]:
    """Write the files; ``postgres`` is host:port, ``kafka`` the bootstrap, ``urls`` has {service}.

    Answers what was written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = Home(folder)
    secrets = identity.stack_secrets(home)
    cluster = home.read("cluster.json") or {
        "id": base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    }
    home.write("cluster.json", cluster)
    (folder / "clients").mkdir(mode=0o755, exist_ok=True)
    clients = identity.clients(Home(folder / "clients"), ROOT / "samples")
    users = {client["connection"]: "" for client in clients if client["kafka"]}
    users_file = folder / "clients" / "kafka-users.json"
    if users_file.exists():
        users |= json.loads(users_file.read_text(encoding="utf-8"))
    users = {name: password or new_password() for name, password in users.items()}
    write_private(users_file, json.dumps(users, indent=2) + "\n")
    files = {
        "common.env": _common(kafka, urls),
        "prepare.env": _prepare(secrets, postgres),
        "roles.env": {
            f"{s.upper()}_{role.upper()}_PASSWORD": secrets[f"{s}_{role}"]
            for s in SERVICES
            for role in ("migrator", "app")
        },
        "compose.env": {
            "POSTGRES_PASSWORD": secrets["postgres"],
            "KAFKA_ADMIN_PASSWORD": secrets["kafka_admin"],
            "KAFKA_CONTROLLER_PASSWORD": secrets["kafka_controller"],
            "KAFKA_CLUSTER_ID": cluster["id"],
        },
    }
    secret_of = {client["id"]: client["secret"] for client in clients}
    for number, service in enumerate(SERVICES, start=1):
        files[f"{service}.env"] = {
            f"{service.upper()}_PORT": str(8000 + number),
            f"{service.upper()}_CLIENT_ID": f"svc-{service}",
            f"{service.upper()}_CLIENT_SECRET": secret_of[f"svc-{service}"],
            **_service(service, secrets, postgres),
        }
    for name, values in files.items():
        text = "".join(f"{key}={value}\n" for key, value in values.items())
        write_private(folder / name, text)
    return [folder / name for name in files]


def _common(kafka: str, urls: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        "LIANDIAO_TEST_INSTALLATION": "false",
        **{
            f"{service.upper()}_URL": urls.format(service=service, port=8000 + number)
            for number, service in enumerate(SERVICES, start=1)
        },
    }


def _service(service: str, secrets: dict[str, str], postgres: str) -> dict[str, str]:
    password = secrets[f"{service}_app"]
    database = f"postgresql://{service}_app:{password}@{postgres}/liandiao_{service}"
    return {
        f"{service.upper()}_DATABASE_URL": database,
        f"{service.upper()}_KAFKA_USER": f"svc-{service}",
        f"{service.upper()}_KAFKA_PASSWORD": secrets[f"{service}_kafka"],
    }


def _prepare(secrets: dict[str, str], postgres: str) -> dict[str, str]:
    answer = {
        "KAFKA_ADMIN_USER": "admin",
        "KAFKA_ADMIN_PASSWORD": secrets["kafka_admin"],
        "LIANDIAO_CLIENTS_FILE": "/etc/liandiao/clients.json",
        "LIANDIAO_KAFKA_USERS_FILE": "/etc/liandiao/kafka-users.json",
    }
    for service in SERVICES:
        password = secrets[f"{service}_migrator"]
        answer |= _service(service, secrets, postgres)
        answer[f"{service.upper()}_MIGRATOR_DATABASE_URL"] = (
            f"postgresql://{service}_migrator:{password}@{postgres}/liandiao_{service}"
        )
    return answer
