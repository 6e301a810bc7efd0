"""What may change inside a major version: a narrow rule set, easy to explain."""

from typing import Any

Node = dict[str, Any]


def _resolve(node: Node, document: Node) -> Node:
    while "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def _shape(node: Node, document: Node) -> tuple[Node, bool]:
    """The non-null alternative and whether null is allowed."""
    node = _resolve(node, document)
    options = node.get("anyOf", [])
    kept = [option for option in options if option.get("type") != "null"]
    if options and len(kept) == 1:
        return _resolve(kept[0], document), len(options) > 1
    return node, False


def _compare(
    path: str, old: Node, new: Node, old_document: Node, new_document: Node, *, seen: frozenset[str]
) -> list[str]:
    mark = f"{old.get('$ref')}|{new.get('$ref')}"
    if "$ref" in old and mark in seen:
        return []
    seen = seen | {mark}
    (before, _), (after, _) = _shape(old, old_document), _shape(new, new_document)
    where = path or "the payload"
    if before.get("type") != after.get("type"):
        return [f"{where} changed its type"]
    found: list[str] = []
    if before.get("format") != after.get("format") or before.get("pattern") != after.get("pattern"):
        found.append(f"{where} changed its form")
    was = set(before.get("enum", [before["const"]] if "const" in before else []))
    now = set(after.get("enum", [after["const"]] if "const" in after else []))
    if was != now and (was - now or not was):
        found.append(f"{where} lost values")
    elif now - was:
        found.append(f"{where} is a closed list and gained values")
    if "items" in before and "items" in after:
        found += _compare(
            f"{path}[]", before["items"], after["items"], old_document, new_document, seen=seen
        )
    properties = after.get("properties", {})
    for name, inner in before.get("properties", {}).items():
        member = f"{path}.{name}" if path else name
        if name not in properties:
            found.append(f"{member} was removed")
        else:
            found += _compare(
                member, inner, properties[name], old_document, new_document, seen=seen
            )
    for name in sorted(set(after.get("required", [])) - set(before.get("required", []))):
        found.append(f"{f'{path}.{name}' if path else name} is newly required")
    return found


def event(old: Node, new: Node) -> list[str]:
    """Faults of an event's new schema: removed, renamed, retyped, newly required, narrowed.

    Readers hold old records and writers may be older, so both directions count; an added optional
    member is the one change that is free.
    """
    return _compare("", old, new, old, new, seen=frozenset())


def problems(old: list[Node], new: list[Node]) -> list[str]:
    """Slugs never go away and never change their status."""
    now = {item["code"]: item["status"] for item in new}
    return [
        f"the problem {item['code']} is gone or changed its status"
        for item in old
        if now.get(item["code"]) != item["status"]
    ]


def _operations(document: Node) -> dict[str, Node]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
        if method in ("get", "post", "put", "patch", "delete")
    }


def _body(content: Node) -> Node:
    inner: Node = content.get("content", {}).get("application/json", {}).get("schema", {})
    return inner


def _members_gone(
    path: str, old: Node, new: Node, documents: tuple[Node, Node], seen: frozenset[str]
) -> list[str]:
    mark = f"{old.get('$ref')}|{new.get('$ref')}"
    if "$ref" in old and mark in seen:
        return []
    seen = seen | {mark}
    (before, _), (after, _) = _shape(old, documents[0]), _shape(new, documents[1])
    found: list[str] = []
    for name, inner in before.get("properties", {}).items():
        if name not in after.get("properties", {}):
            found.append(f"{path}.{name} was removed")
        else:
            found += _members_gone(
                f"{path}.{name}", inner, after["properties"][name], documents, seen
            )
    if "items" in before and "items" in after:
        found += _members_gone(f"{path}[]", before["items"], after["items"], documents, seen)
    return found


def _newly_required(path: str, old: Node, new: Node, documents: tuple[Node, Node]) -> list[str]:
    before, after = _resolve(old, documents[0]), _resolve(new, documents[1])
    added = set(after.get("required", [])) - set(before.get("required", []))
    return [f"{path}.{name} is newly required" for name in sorted(added)]


def openapi(old: Node, new: Node) -> list[str]:
    """Faults of a service's new description: operations, answer members and parameters gone,
    request members or parameters newly required."""
    found: list[str] = []
    now = _operations(new)
    documents = (old, new)
    for name, before in _operations(old).items():
        after = now.get(name)
        if after is None:
            found.append(f"{name} was removed")
            continue
        for status, answer in before.get("responses", {}).items():
            if status.startswith("2"):
                if status not in after.get("responses", {}):
                    found.append(f"{name} no longer answers {status}")
                    continue
                found += _members_gone(
                    f"{name} {status}",
                    _body(answer),
                    _body(after["responses"][status]),
                    documents,
                    frozenset(),
                )
        found += _newly_required(
            f"{name} request",
            _body(before.get("requestBody", {})),
            _body(after.get("requestBody", {})),
            documents,
        )
        known = {(p["in"], p["name"]): p for p in before.get("parameters", [])}
        for parameter in after.get("parameters", []):
            was = known.pop((parameter["in"], parameter["name"]), None)
            if parameter.get("required") and not (was and was.get("required")):
                found.append(f"{name} newly requires the parameter {parameter['name']}")
        found += [f"{name} lost the parameter {key[1]}" for key in known]
    return found
