"""Every answer against its operation's schema, read strictly: what is not listed is not allowed."""

import copy
import json
import re
from functools import lru_cache
from typing import Any

import httpx
import jsonschema_rs

from services.contracts import openapi

# Headers that an answer of this status must carry.
NEEDED = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


@lru_cache(1)
def operations() -> dict[str, tuple[str, dict[str, Any]]]:
    """``POST /v1/referrals`` -> its service and its OpenAPI operation."""
    return {n: (s, operation) for s, n, operation in openapi.operations(openapi.all_documents())}


@lru_cache(1)
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    found = []
    for name in sorted(operations(), key=lambda n: n.count("{")):
        method, path = name.split(" ", 1)
        pattern = re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(path))
        found.append((re.compile(f"{method} {pattern}"), name))
    return found


@lru_cache(20_000)
def name_of(method: str, path: str) -> str:
    """The operation a request goes to."""
    return next(name for pattern, name in _patterns() if pattern.fullmatch(f"{method} {path}"))


def closed(node: Any) -> Any:
    """The schema with every object that lists its members closed to others."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: closed(value) for key, value in node.items()}
    if "properties" in made and "additionalProperties" not in made and "allOf" not in made:
        made["additionalProperties"] = False
    return made


@lru_cache(4)
def _components(service: str) -> dict[str, Any]:
    schemas = copy.deepcopy(openapi.all_documents()[service]["components"]["schemas"])
    text = json.dumps(schemas).replace("#/components/schemas/", "#/$defs/")
    found: dict[str, Any] = closed(json.loads(text))
    return found


@lru_cache(2000)
def _validator(name: str, status: int, media_type: str) -> Any:
    service, operation = operations()[name]
    # A file has no schema: its type alone is declared.
    schema = operation["responses"][str(status)]["content"][media_type].get("schema", {})
    own = json.loads(json.dumps(schema).replace("#/components/schemas/", "#/$defs/"))
    return jsonschema_rs.Draft202012Validator(
        {**closed(own), "$defs": _components(service)}, validate_formats=True
    )


def faults(name: str, answer: httpx.Response) -> list[str]:
    """What is wrong with an answer by its operation's contract, without its values."""
    _, operation = operations()[name]
    declared = operation["responses"].get(str(answer.status_code))
    if declared is None:
        return [f"{answer.status_code} is not declared"]
    found = []
    header = NEEDED.get(answer.status_code)
    if header and header not in answer.headers:
        found.append(f"{answer.status_code} without {header}")
    if answer.status_code == 204:
        return found
    media_type = answer.headers.get("content-type", "").split(";")[0]
    if "json" not in media_type and any("json" not in t for t in declared.get("content", {})):
        return found  # a file, under its own type
    if media_type not in declared.get("content", {}):
        return [*found, f"{answer.status_code} as {media_type}"]
    errors = _validator(name, answer.status_code, media_type).iter_errors(answer.json())
    return found + sorted(
        {
            f"{answer.status_code}: {'/'.join(map(str, error.schema_path))} at "
            + "/".join("*" if isinstance(part, int) else part for part in error.instance_path)
            for error in errors
        }
    )
