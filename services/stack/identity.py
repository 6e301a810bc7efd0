"""Who is who in the embedded stack: passwords made at the first start, clients and their scopes."""

import json
import secrets
from pathlib import Path
from typing import Any

from services.stack.home import ROOT, Home
from services.stack.postgres import SERVICES, new_password

SCOPES_FILE = ROOT / "deploy" / "scopes.json"
OPERATOR = "operator"


def stack_secrets(home: Home) -> dict[str, str]:
    """The passwords of servers and services (``secrets.json``, mode 0600); made once."""
    kept: dict[str, str] = home.read("secrets.json") or {}
    names = ["postgres", "kafka_admin", "kafka_controller"]
    for service in SERVICES:
        names += [f"{service}_migrator", f"{service}_app", f"{service}_kafka"]
    missing = [name for name in names if name not in kept]
    if missing:
        kept |= {name: new_password() for name in missing}
        home.write("secrets.json", kept)
    return kept


def scopes_of(kind: str, roles: list[str], path: Path = SCOPES_FILE) -> list[str]:
    """The scopes of an organisation's client, by its kind and roles."""
    data = json.loads(path.read_text(encoding="utf-8"))
    names = [*data["kinds"].get(kind, []), *(n for r in roles for n in data["roles"].get(r, []))]
    return sorted({scope for name in names for scope in data["sets"][name]})


def clients(home: Home, samples: Path) -> list[dict[str, Any]]:
    """One client per seeded organisation, one per service and the operator's (``clients.json``).

    Secrets are made once and kept; organisations that are new in the samples are added.
    """
    kept = {each["id"]: each for each in (home.read("clients.json") or {"clients": []})["clients"]}
    data = json.loads(SCOPES_FILE.read_text(encoding="utf-8"))
    directory = json.loads((samples / "directory.json").read_text(encoding="utf-8"))
    wanted = [
        _client(
            f"o-{organisation['code'].lower()}",
            [organisation["code"]],
            scopes_of(organisation["kind"], organisation.get("roles", [])),
            kafka=organisation["kind"] in data["kafka_kinds"],
        )
        for organisation in directory["organisations"]
    ]
    wanted += [_client(name, [], scopes) for name, scopes in data["services"].items()]
    wanted.append(_client(OPERATOR, [], data["operator"]))
    for client in wanted:
        client["secret"] = kept.pop(client["id"], {}).get("secret") or secrets.token_urlsafe(32)
    answer = [*wanted, *kept.values()]
    if (home.read("clients.json") or {}).get("clients") != answer:
        home.write("clients.json", {"clients": answer})
    return answer


def _client(
    name: str, organisations: list[str], scopes: list[str], *, kafka: bool = False
) -> dict[str, Any]:
    return {
        "id": name,
        "secret": "",
        "connection": name,
        "organisations": organisations,
        "scopes": scopes,
        "kafka": kafka,
    }


def shown_clients(all_clients: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What ``stack.json`` tells scripts: every client but those of the services themselves."""
    names = ("id", "secret", "connection", "organisations", "scopes")
    return [
        {name: client[name] for name in names}
        for client in all_clients
        if not client["id"].startswith("svc-")
    ]
