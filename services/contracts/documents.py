"""The tables for people: events, endpoints, metrics, problems, topics, scopes."""

from collections.abc import Sequence
from typing import Any, Final

from services import telemetry
from services.contracts.openapi import operations, scope_of
from services.events.envelope import EventSpec
from services.problem import all_problems
from services.service import NAMES, load

MADE: Final = "Made from the code by `make schemas`; do not edit."


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(heads), line(("---",) * len(heads)), *map(line, rows)]) + "\n"


def _type(node: dict[str, Any]) -> str:
    if "anyOf" in node:
        return _type(next(o for o in node["anyOf"] if o.get("type") != "null"))
    if "$ref" in node:
        return str(node["$ref"].rsplit("/", 1)[1])
    if "items" in node:
        return f"{_type(node['items'])}[]"
    return str(node.get("format") or ("enum" if "enum" in node else node.get("type", "any")))


def events(catalogue: dict[str, EventSpec]) -> str:
    """Event -> emitter, payload, audience, when, source."""
    rows = []
    for spec in sorted(catalogue.values(), key=lambda s: (s.owner, s.type)):
        schema = spec.model.model_json_schema()
        required = set(schema.get("required", []))
        members = ", ".join(
            f"{name}{'' if name in required else '?'}: {_type(node)}"
            for name, node in schema["properties"].items()
            if name not in ("case_id", "case_number")
        )
        rows.append(
            (
                f"[{spec.name}](contracts/events/{spec.type}.schema.json) `{spec.type}`",
                "each service" if spec.owner == "*" else spec.owner,
                members,
                ", ".join(spec.audience),
                spec.emitted_when,
                spec.source,
            )
        )
    heads = ("event", "emitter", "payload (? optional)", "audience", "emitted when", "source")
    return (
        f"# Events\n\n{MADE}\n\nEvery event carries `case_id` and, when its subject is a case, "
        "`case_number`; its headers are in [asyncapi.json](contracts/asyncapi.json). No event "
        "holds personal data: a party is an id, a role and a kind. A sample of each, as recorded, "
        "lies beside its schema in `contracts/events/` and stays readable for ever.\n\n"
        + _table(heads, rows)
    )


def endpoints(documents: dict[str, dict[str, Any]], access: dict[str, Any]) -> str:
    """Endpoint -> service, scope, who may."""
    rows = []
    for service, name, operation in operations(documents):
        row = access["operations"].get(name, {})
        rows.append(
            (
                f"`{name}`",
                service,
                scope_of(operation),
                row.get("who", "**missing**"),
                str(operation.get("summary", "")),
            )
        )
    heads = ("endpoint", "service", "scope", "who may", "what it does")
    return (
        f"# Endpoints\n\n{MADE} Who may is kept in `deploy/access.json`; an operation without a "
        "row fails the build.\n\nNot yours and not there answer alike: 404. Roles are those of the "
        "organisation in the case: source, handler, linked, supervisor. Which client holds which "
        "scope: [scopes](contracts/scopes.md). Each service also has `/health/live`, "
        "`/health/ready`, `/metrics` and its own `/docs`, for operators.\n\n" + _table(heads, rows)
    )


def metrics() -> str:
    """Every metric of ``/metrics``."""
    _load_all()  # a service may add its own
    labels = {}
    for collector in telemetry.REGISTRY._collector_to_names:
        for family in collector.describe() if hasattr(collector, "describe") else []:
            labels[family.name] = getattr(collector, "_labelnames", ())
    rows = []
    for family in sorted(telemetry.REGISTRY.collect(), key=lambda f: f.name):
        name = family.name + ("_total" if family.type == "counter" else "")
        rows.append(
            (f"`{name}`", family.type, ", ".join(labels.get(family.name, ())), family.documentation)
        )
    figures = [
        (f"`{figure}`", name, _first_line(function))
        for name in NAMES
        for figure, function in sorted(load(name).figures.items())
    ]
    return (
        f"# Metrics\n\n{MADE}\n\nEach process serves them at `/metrics`; no label ever holds a "
        "person, a case or a value of a caller.\n\n"
        + _table(("metric", "kind", "labels", "meaning"), rows)
        + "\n## Figures\n\nValues of the label `figure` of `liandiao_figure`, also in "
        "`/health/ready`.\n\n" + _table(("figure", "service", "meaning"), figures)
    )


def _first_line(function: Any) -> str:
    return (function.__doc__ or "").strip().split("\n")[0]


def _load_all() -> None:
    for name in NAMES:
        load(name)


def problem_list() -> list[dict[str, Any]]:
    """Every problem, for machines."""
    _load_all()
    return [
        {
            "type": f"urn:liandiao:problem:{cls.slug}",
            "code": cls.slug,
            "status": cls.status,
            "title": cls.title,
            "retryable": cls.retryable,
        }
        for cls in all_problems()
    ]


def problems() -> str:
    """Every problem, for people."""
    rows = [
        (
            f"`{item['code']}`",
            str(item["status"]),
            item["title"],
            "yes" if item["retryable"] else "",
        )
        for item in problem_list()
    ]
    return (
        f"# Problems\n\n{MADE}\n\nRFC 9457, `application/problem+json`, on REST and inside "
        "`command.answered`. The type is `urn:liandiao:problem:<code>`. A code never changes its "
        "meaning. `errors[]` says where (a JSON pointer), which rule, and why, never with the "
        "caller's value.\n\n" + _table(("code", "status", "title", "retry"), rows)
    )


def topics(data: dict[str, Any]) -> str:
    """Every topic."""
    rows = [
        (
            f"`{name}`",
            topic["key"],
            str(topic["partitions"]),
            ", ".join(f"{k}={v}" for k, v in topic["config"].items()),
        )
        for group in ("topics", "connection_topics", "replay_topics")
        for name, topic in data.get(group, {}).items()
    ]
    return (
        f"# Topics\n\n{MADE} The data is `deploy/topics.json`, who may what `deploy/acls.json`."
        f"\n\n{data['about']}\n\n" + _table(("topic", "key", "partitions", "settings"), rows)
    )


def scopes(data: dict[str, Any]) -> str:
    """Which kind of organisation holds which scopes."""
    sets = [(f"`{name}`", ", ".join(f"`{s}`" for s in held)) for name, held in data["sets"].items()]
    kinds = [(name, ", ".join(f"`{s}`" for s in held)) for name, held in data["kinds"].items()]
    roles = [(name, ", ".join(f"`{s}`" for s in held)) for name, held in data["roles"].items()]
    services = [
        (name, ", ".join(f"`{s}`" for s in held)) for name, held in data["services"].items()
    ]
    services.append(("operator", ", ".join(f"`{s}`" for s in data["operator"])))
    return (
        f"# Scopes\n\n{MADE} The data is `deploy/scopes.json`.\n\n{data['about']}\n\n## Sets\n\n"
        + _table(("set", "scopes"), sets)
        + "\n## By kind of organisation\n\n"
        + _table(("kind", "sets"), kinds)
        + "\n## By role for a place\n\n"
        + _table(("role", "sets"), roles)
        + "\n## Services and operators\n\n"
        + _table(("client", "scopes"), services)
    )
