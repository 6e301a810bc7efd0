"""Hearing one event: who gets it, what it changes here, which messages follow."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from notification import letters, rules, templates
from notification.batch import Batch, batch_of
from notification.model import CaseCopy, fold, is_current, snapshot
from notification.repository import Entry, Known
from services.calendar import day_of
from services.clock import wire
from services.events.intake import CaseReopened, CommandAnswered, ReferralReceived
from services.events.notification import OfferNumberedLate
from services.events.routing import AssignmentOffered, ParticipantJoined, ParticipantLeft
from services.service import Received
from services.unit_of_work import UnitOfWork

SNAPSHOT = "liandiao.case.snapshot.v1"
PARTICIPATION_ENDED = "liandiao.participation.ended.v1"


async def hear(received: Received[Any], uow: UnitOfWork) -> None:
    """Take one event of the stream into copy, feeds and messages; the same in the same order.

    Participations are looked up as they are at this point of the stream. That is enough: routing
    emits ``ParticipantJoined`` before whatever the new participant may see, and an effect stands
    behind the cause it heard, so nothing that a participant should hear comes before its joining;
    what came earlier is in the ``case.snapshot``. A source takes part from its referral on.
    """
    batch, ends_later = batch_of(uow)
    if isinstance(received.data, CommandAnswered):
        await _answer(received, batch, uow)
    else:
        await _take(received, batch, uow)
    if not ends_later:
        await batch.write()


async def _take(received: Received[Any], batch: Batch, uow: UnitOfWork) -> None:
    event, case_id = received.data, received.case_id
    known = await batch.case(case_id)
    if isinstance(event, ReferralReceived):
        batch.refer(received, event.organisation, event.referral_id, event.reference)
    elif isinstance(event, CaseReopened):
        batch.reopened(case_id, event.organisation)
    elif isinstance(event, ParticipantJoined):
        batch.joined(event)
    copy, after = known.copy, fold(known.copy, event, received.episode)
    stands, drafts = rules.standing_keys(event), list[letters.Draft]()
    if is_current(copy, event, received.episode):
        drafts = list(letters.drafts(event, after, _by_role(known), templates.load().values()))
        # A message may rest on a fact of another event; from now on this event has its last word.
        also = (key for draft in drafts for key in draft.stands)
        stands = tuple(dict.fromkeys((*stands, *also)))
        told = [d.once for d in drafts if d.once]
        if told:
            before = after.facts.get("told", ())
            after = replace(after, facts={**after.facts, "told": [*before, *dict.fromkeys(told)]})
    batch.add(
        received,
        copy=after if after != copy else None,
        stands=stands,
        entries=_entries(received, known, after, uow),
        drafts=drafts,
    )
    if isinstance(event, ParticipantLeft):
        batch.left(event)
    elif isinstance(event, AssignmentOffered):
        await _tell_lateness(event, known, uow)


async def _tell_lateness(offer: AssignmentOffered, known: Known, uow: UnitOfWork) -> None:
    """Emits ``OfferNumberedLate`` when the organisation can read its offer only on a later day.

    Its entry is numbered in this transaction. Without a feed there is nothing that came late.
    """
    hears = offer.organisation in rules.hearers(offer, known.parts)
    late = day_of(uow.now) > day_of(offer.offered_at)
    if late and hears and uow.runtime.directory.connections_of(offer.organisation):
        await uow.lock_case(offer.case_id)
        uow.emit(
            OfferNumberedLate(
                case_id=offer.case_id,
                assignment_id=offer.assignment_id,
                organisation=offer.organisation,
                offered_at=offer.offered_at,
                numbered_at=uow.now,
            )
        )


def _by_role(known: Known) -> Mapping[str, Iterable[str]]:
    by_role: dict[str, list[str]] = {}
    for part in known.parts:
        by_role.setdefault(part.role, []).append(part.organisation)
    return by_role


def _entries(
    received: Received[Any], known: Known, after: CaseCopy, uow: UnitOfWork
) -> list[Entry]:
    event = received.data
    heard = rules.hearers(event, known.parts)
    wire_form = _structured(received)
    entries: list[Entry] = []
    if isinstance(event, ParticipantJoined):
        entries += _for(
            received, known, [event.organisation], SNAPSHOT, snapshot(after, event.role), uow
        )
    entries += [
        Entry(
            connection=connection,
            event_id=received.event_id,
            type=received.type,
            reference=_reference(known, organisations),
            read_after=read_after(received),
            event=wire_form,
        )
        for connection, organisations in _connections(heard, uow).items()
    ]
    if isinstance(event, ParticipantLeft):
        ended = {
            "case_id": str(received.case_id),
            "case_number": after.case_number,
            "organisation": event.organisation,
            "role": event.role,
            "reason": event.reason,
            "left_at": wire(event.left_at),
        }
        entries += _for(received, known, [event.organisation], PARTICIPATION_ENDED, ended, uow)
    return entries


def _connections(organisations: Iterable[str], uow: UnitOfWork) -> dict[str, list[str]]:
    directory = uow.runtime.directory
    codes = list(organisations)
    return rules.connections_of(codes, {code: directory.connections_of(code) for code in codes})


def _reference(known: Known, organisations: Iterable[str]) -> str | None:
    return next((known.references[o] for o in organisations if o in known.references), None)


def _structured(received: Received[Any]) -> dict[str, Any]:
    """The event as its sender wrote it, also what only a newer release understands."""
    headers: dict[str, str] = {name: value for name, value in received.record.headers}
    return rules.structured(headers, orjson.loads(received.record.data))


def read_after(received: Received[Any]) -> str:
    """What a reader sends back as ``Case-After`` to be answered with this event taken in."""
    return f"{received.source.lstrip('/')}={received.sequence:010d}"


def derived_id(event_id: UUID, what: str) -> UUID:
    """A UUIDv7 that is always the same for the same cause: an entry made twice is one entry."""
    raw = bytearray(event_id.bytes[:6] + hashlib.sha256(event_id.bytes + what.encode()).digest())
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return UUID(bytes=bytes(raw[:16]))


def _for(
    received: Received[Any],
    known: Known,
    organisations: list[str],
    type_: str,
    data: Mapping[str, Any],
    uow: UnitOfWork,
) -> list[Entry]:
    """Entries of the feed alone (not events of ``cases``, so without a sequence there)."""
    entries = []
    for connection, codes in _connections(organisations, uow).items():
        event_id = derived_id(received.event_id, f"{type_} {connection}")
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": str(event_id),
            "ce_source": "/notification",
            "ce_type": type_,
            "ce_subject": str(received.case_id),
            "ce_time": wire(received.occurred_at),
            "ce_recordedtime": wire(uow.now),
            "ce_episode": str(received.episode),
            "ce_causationid": str(received.event_id),
            "ce_dataschema": f"urn:liandiao:schema:{type_}",
        }
        if received.correlation_id:
            attributes["ce_correlationid"] = received.correlation_id
        if received.traceparent:
            attributes["ce_traceparent"] = received.traceparent
        entries.append(
            Entry(
                connection=connection,
                event_id=event_id,
                type=type_,
                reference=_reference(known, codes),
                read_after=read_after(received),
                event=rules.structured(attributes, data),
            )
        )
    return entries


async def _answer(received: Received[CommandAnswered], batch: Batch, uow: UnitOfWork) -> None:
    """The answer to a command goes to the connection that sent it, and to nobody else."""
    event = received.data
    known = await batch.case(event.answered_case_id or received.case_id)
    directory = uow.runtime.directory
    speaks_for = (directory.connection(event.connection) or {}).get("organisations", ())
    entry = Entry(
        connection=event.connection,
        event_id=received.event_id,
        type=received.type,
        reference=_reference(known, speaks_for),
        read_after=read_after(received),
        event=_structured(received),
    )
    batch.add(received, entries=[entry])
