"""One OpenAPI 3.1 document per service, made without a database."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from services.service import NAMES, load


@lru_cache(maxsize=1)
def all_documents() -> dict[str, dict[str, Any]]:
    """Service name -> its OpenAPI document."""
    from services.app import create_app

    return {name: create_app(load(name)).openapi() for name in NAMES}


def operations(documents: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(service, ``POST /v1/referrals``, operation) of every operation, health left out."""
    for name, document in documents.items():
        for path, item in sorted(document["paths"].items()):
            for method, operation in sorted(item.items()):
                if "health" not in operation.get("tags", []):
                    yield name, f"{method.upper()} {path}", operation


def scope_of(operation: dict[str, Any]) -> str:
    """The scope an operation needs: ``referral:read``, ``party token`` or ``anonymous``."""
    for requirement in operation.get("security", []):
        for scheme, scopes in requirement.items():
            if scheme == "party":
                return "party token"
            return " ".join(scopes) or "any client"
    return "anonymous"
