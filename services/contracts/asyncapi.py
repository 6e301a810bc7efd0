"""The AsyncAPI 3.0 document: topics, events, commands, feed entries, with Kafka bindings."""

from typing import Any, Final

from services.app import VERSION
from services.events.envelope import EventSpec
from services.service import NAMES, load

_TEXT: Final = {"type": "string"}
_UUID: Final = {"type": "string", "format": "uuid"}
_INSTANT: Final = {"type": "string", "format": "date-time"}
BINDING: Final = "0.5.0"


def headers() -> dict[str, Any]:
    """CloudEvents 1.0 in binary mode as Kafka headers."""
    members: dict[str, Any] = {
        "content-type": {"const": "application/json; charset=utf-8"},
        "ce_specversion": {"const": "1.0"},
        "ce_id": _UUID | {"description": "given once; the same on every copy and replay"},
        "ce_source": {"enum": [f"/{name}" for name in NAMES]},
        "ce_type": _TEXT,
        "ce_subject": _UUID | {"description": "the record's key: the case"},
        "ce_time": _INSTANT | {"description": "when it happened"},
        "ce_recordedtime": _INSTANT | {"description": "when it was written"},
        "ce_sequence": {
            "type": "string",
            "pattern": "^[0-9]{10}$",
            "description": "from 0000000001 for each (source, subject), no gaps",
        },
        "ce_episode": {"type": "string", "pattern": "^[1-9][0-9]*$"},
        "ce_causationid": _TEXT | {"description": "what caused it; absent at an origin"},
        "ce_correlationid": _TEXT | {"description": "request or command id of the first cause"},
        "ce_dataschema": {"type": "string", "pattern": "^urn:liandiao:schema:"},
        "ce_traceparent": _TEXT | {"description": "W3C trace context"},
    }
    optional = {"ce_causationid", "ce_correlationid", "ce_traceparent"}
    return {
        "type": "object",
        "properties": members,
        "required": sorted(set(members) - optional),
    }


def feed_headers() -> dict[str, Any]:
    """What ``agency.<connection>.out`` adds to the event's own headers."""
    document = headers()
    document["properties"] |= {
        "ld-feed-sequence": {
            "type": "string",
            "pattern": "^[0-9]{10}$",
            "description": "gapless for each connection, the same by REST",
        },
        "ld-reference": _TEXT | {"description": "the receiving organisation's own number"},
        "ld-read-after": _TEXT | {"description": "send back as Case-After to read your writes"},
    }
    document["required"] = [*document["required"], "ld-feed-sequence"]
    return document


def command_headers() -> dict[str, Any]:
    """What a command must carry."""
    return {
        "type": "object",
        "properties": {
            "ce_specversion": {"const": "1.0"},
            "ce_id": _UUID | {"description": "the sender's, unique for ever for its connection"},
            "ce_type": _TEXT,
            "ce_subject": _UUID | {"description": "the case, where one is known"},
            "ce_traceparent": _TEXT,
        },
        "required": ["ce_id", "ce_type"],
    }


def command_payload() -> dict[str, Any]:
    """Every command's clear members; personal ones travel sealed."""
    return {
        "type": "object",
        "properties": {
            "organisation": _TEXT | {"description": "the organisation that acts"},
            "reference": _TEXT | {"description": "the sender's own number"},
            "sealed": _TEXT
            | {
                "description": "compact JWE (ECDH-ES+A256KW, A256GCM) of the canonical referral, "
                "to a key of GET /v1/sealing-keys"
            },
            "mandate_id": _TEXT
            | {
                "description": "of referral.amend and case.leave: the mandate (代办) they are "
                "given under, clear or sealed; checked and marked as the header Mandate-Id"
            },
        },
        "required": ["organisation"],
        "additionalProperties": True,
    }


def command_types() -> dict[str, list[str]]:
    """Command -> the services that handle it."""
    found: dict[str, list[str]] = {}
    for name in NAMES:
        for command in load(name).commands:
            found.setdefault(command, []).append(name)
    return dict(sorted(found.items()))


def wire_type(command: str) -> str:
    """``referral.submit`` -> ``liandiao.referral.submit.v1``."""
    return command if command.startswith("liandiao.") else f"liandiao.{command}.v1"


def _message(spec: EventSpec) -> dict[str, Any]:
    return {
        "name": spec.type,
        "title": spec.name,
        "summary": (spec.model.__doc__ or "").strip(),
        "description": f"Emitted by {spec.owner} when {spec.emitted_when}. "
        f"Audience: {', '.join(spec.audience)}. Source: {spec.source}.",
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/EventHeaders"},
        "payload": {"$ref": f"./events/{spec.type}.schema.json"},
        "bindings": {"kafka": {"key": _UUID, "bindingVersion": BINDING}},
    }


def _channel(address: str, topic: dict[str, Any], messages: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name, value in topic["config"].items():
        if name == "cleanup.policy":
            config[name] = value.split(",")
        elif name.endswith((".ms", ".bytes")):
            config[name] = int(value)
    channel: dict[str, Any] = {
        "address": address,
        "description": f"Key: {topic['key']}.",
        "messages": {m: {"$ref": f"#/components/messages/{m}"} for m in messages},
        "bindings": {
            "kafka": {
                "topic": address,
                "partitions": topic["partitions"],
                "topicConfiguration": config,
                "bindingVersion": BINDING,
            }
        },
    }
    if "{connection}" in address:
        channel["parameters"] = {"connection": {"description": "the connection's name"}}
    return channel


def document(catalogue: dict[str, EventSpec], topics: dict[str, Any]) -> dict[str, Any]:
    """The whole document."""
    events = {spec.name: _message(spec) for spec in catalogue.values()}
    answer = "CommandAnswered"
    commands: dict[str, Any] = {}
    for command, services in command_types().items():
        name = "".join(part.title() for part in command.replace("-", ".").split("."))
        commands[f"Command{name}"] = {
            "name": wire_type(command),
            "title": wire_type(command),
            "summary": f"A command; {' and '.join(services)} answers once by {answer}",
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/CommandHeaders"},
            "payload": {"$ref": "#/components/schemas/CommandPayload"},
        }
    entries: dict[str, Any] = {
        name: {
            "name": kind,
            "title": name,
            "summary": summary,
            "contentType": "application/json",
            "headers": {"$ref": "#/components/schemas/FeedHeaders"},
            "payload": {"type": "object"},
        }
        for name, kind, summary in (
            (
                "CaseSnapshot",
                "liandiao.case.snapshot.v1",
                "The state of a case for who just joined it; an entry of the feed alone",
            ),
            (
                "ParticipationEnded",
                "liandiao.participation.ended.v1",
                "The receiver's part in a case is over; an entry of the feed alone",
            ),
            (
                "WebhookPaused",
                "liandiao.webhook.paused.v1",
                "A webhook of the connection rests, since nobody took what was sent; its subject "
                "is the webhook; an entry of the feed alone",
            ),
            (
                "WebhookEnded",
                "liandiao.webhook.ended.v1",
                "A webhook's receiver wants no more (410); its subject is the webhook; an entry "
                "of the feed alone",
            ),
        )
    }
    entry = {
        "DirectoryEntry": {
            "name": "directory-entry",
            "title": "DirectoryEntry",
            "summary": "The newest value of one key; readers keep the highest version",
            "contentType": "application/json",
            "payload": {
                "type": "object",
                "properties": {"version": {"type": "integer"}},
                "required": ["version"],
            },
        }
    }
    names = {"cases": "cases", "directory": "directory"}
    all_topics = {**topics["topics"], **topics["connection_topics"]}
    carried = {
        "cases": list(events),
        "directory": list(entry),
        "agency.{connection}.in": list(commands),
        "agency.{connection}.out": [*events, *entries],
    }
    channels = {
        names.get(address, "agencyIn" if address.endswith(".in") else "agencyOut"): _channel(
            address, topic, carried[address]
        )
        for address, topic in all_topics.items()
    }
    what = {
        "cases": ("send", "The four services tell what happened; each reads the others"),
        "directory": ("send", "Routing, and intake for keys, tell the directory"),
        "agencyIn": ("receive", "Commands of one connection"),
        "agencyOut": ("send", "The feed of one connection, numbered without gaps"),
    }
    return {
        "asyncapi": "3.0.0",
        "id": "urn:liandiao:asyncapi",
        "info": {
            "title": "Liandiao events and commands",
            "version": VERSION,
            "description": "CloudEvents 1.0 in binary mode over Kafka. One case is one key and so "
            "one partition. No event holds personal data.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            f"{action}{name[0].upper()}{name[1:]}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": summary,
            }
            for name, (action, summary) in what.items()
        },
        "components": {
            "messages": {**events, **commands, **entries, **entry},
            "schemas": {
                "EventHeaders": headers(),
                "FeedHeaders": feed_headers(),
                "CommandHeaders": command_headers(),
                "CommandPayload": command_payload(),
            },
            "securitySchemes": {"sasl": {"type": "scramSha256"}},
        },
    }
