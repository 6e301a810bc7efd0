"""Records that a service's consumer gets: for each event it hears, a case in which it happens."""

from typing import Any
from uuid import UUID, uuid5

import orjson
from aiokafka import TopicPartition

from services.contracts.event_schemas import sample
from services.events import load_catalogue
from services.messaging.kafka import Incoming
from services.service import Service

PLACE = TopicPartition("cases", 0)
NAMESPACE = UUID("019f1f00-0000-7000-8000-000000000001")
# What happens in every case before the event that it is about.
BEFORE = (
    "liandiao.referral.received.v1",
    "liandiao.case.registered.v1",
    "liandiao.participant.joined.v1",
    "liandiao.assignment.offered.v1",
    "liandiao.assignment.accepted.v1",
)


def heard_by(service: Service) -> list[str]:
    """The types of all the service's subscriptions, each once."""
    return sorted({subscription.event.spec.type for subscription in service.consumes})


def life(number: int, type_: str, offset: int) -> list[Incoming]:
    """The records of one case up to the event of that type, which is the last."""
    before = BEFORE[: BEFORE.index(type_)] if type_ in BEFORE else BEFORE
    sequences: dict[str, int] = {}
    return [
        _record(number, name, sequences, offset + place)
        for place, name in enumerate((*before, type_))
    ]


def again(record: Incoming, offset: int) -> Incoming:
    """The copy that a relay sends when it died before the stamp."""
    return Incoming(record.topic, record.partition, offset, record.key, record.headers, record.data)


def _record(number: int, type_: str, sequences: dict[str, int], offset: int) -> Incoming:
    made = sample(load_catalogue()[type_])
    case_id = _id(number, "case_id")
    headers = dict(made["headers"])
    source = headers["ce_source"]
    sequences[source] = sequences.get(source, 0) + 1
    headers["ce_sequence"] = f"{sequences[source]:010d}"
    headers["ce_subject"] = case_id
    headers["ce_id"] = _id(number, f"{source} {sequences[source]}")
    data = _of_case(number, made["data"])
    # A sample names one organisation for everything, and nobody asks itself.
    data.pop("asks", None)
    if "case_number" in data:
        data["case_number"] = f"LD2026-330681-{number:07d}-A"
    return Incoming(
        PLACE.topic,
        PLACE.partition,
        offset,
        case_id,
        [list(item) for item in headers.items()],
        orjson.dumps(data),
    )


def _id(number: int, name: str) -> str:
    return str(uuid5(NAMESPACE, f"{number} {name}"))


def _of_case(number: int, node: Any) -> Any:
    """The same document with this case's ids: one for each name, so that events fit together."""
    if isinstance(node, list):
        return [_of_case(number, item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _id(number, name)
        if name.endswith("_id") and isinstance(value, str) and len(value) == 36
        else _of_case(number, value)
        for name, value in node.items()
    }
