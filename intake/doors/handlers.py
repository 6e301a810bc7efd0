"""What a desk does: take a quick form, attach what comes later, record and end a mandate."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from intake.doors import mandates, model, repository
from intake.doors.schemas import CounterBody, MandateBody
from intake.handlers import Submitted, fault, submit_referral
from intake.keys import keys_of
from intake.places.handlers import suggested
from intake.repository import parties
from intake.rounds import repository as rounds
from services.auth import Caller
from services.calendar import day_of
from services.clock import wire
from services.errors import FieldError, Invalid
from services.events.intake import MandateGiven, MandateRevoked, SupplementReceived
from services.ids import new_id
from services.unit_of_work import UnitOfWork

ENTRY, SUPPLEMENT, MANDATE = "counter_entry", "supplement", "mandate"
A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Entered:
    """The outcome of a quick form, the first time and every time after."""

    submitted: Submitted
    place: str
    county_desk: bool
    late: bool
    overdue: list[dict[str, str]]
    mandate_id: UUID | None


async def enter(body: CounterBody, caller: Caller, uow: UnitOfWork) -> Entered:
    """Register what a desk took, on the day on which it had it.

    A late entry needs a reason and a second person and lies at most *site* days back; what is over
    by then is told at once. Emits what a referral emits. Raises what ``submit_referral`` raises.
    """
    received_at = body.received_at or (body.letter.arrived_at if body.letter else uow.now)
    late = received_at < uow.now - A_DAY
    if errors := _of_time(body, received_at, late, uow):
        raise Invalid(errors=errors)
    place, county_desk = body.place, False
    if place is None:
        found = suggested(
            uow.runtime,
            body.address or "",
            organisation=caller.organisation,
            on=day_of(received_at),
        )
        place, county_desk = found.place, found.county_desk
    entry = _entry(body, caller, place, received_at)
    done = await submit_referral(
        model.document(entry),
        uow,
        organisations=(caller.organisation,),
        connection=caller.connection,
        # The short form need not say it (decision 19); who said no is not delegated.
        consent_later=body.who is None or body.who.consent != "refused",
    )
    if done.replayed:
        known = await repository.own_entry(uow, caller.organisation, done.referral_id)
        return (
            Entered(done, place, county_desk, late, [], None)
            if known is None
            else again(done, known)
        )
    over = [period.wire() for period in model.overdue(entry, place, uow.now)]
    note = {"place": place, "county_desk": county_desk, "overdue": bool(over), "periods": over}
    await _note(body, caller, done, late, note, received_at, uow)
    mandate_id = None
    if body.on_behalf is not None:
        mandate_id = await give_mandate(done.case_id, body.on_behalf, caller, uow)
        await repository.mark_entry(uow, done.referral_id, mandate_id)
        mandate = await repository.mandate(uow, mandate_id)
        uow.audit(
            "referral.filed_for",
            case_id=done.case_id,
            subject=str(done.referral_id),
            detail=mandates.mark(mandate),
        )
    if body.finding_id is not None:
        await rounds.convert(uow, body.finding_id, caller.organisation, done.case_id)
    return Entered(_told(done, note), place, county_desk, late, over, mandate_id)


def again(done: Submitted, entry: Any) -> Entered:
    """The first answer once more, from what was kept of it; ``done`` is the referral's own."""
    return Entered(
        _told(done, entry),
        entry["place"],
        entry["county_desk"],
        entry["received_at"] < entry["recorded_at"] - A_DAY,
        entry["periods"],
        entry["mandate_id"],
    )


def _told(done: Submitted, entry: Any) -> Submitted:
    """With what the entry itself is warned of."""
    warned = [*done.warnings]
    if entry["county_desk"]:
        warned.append(fault("/address", "place_county_desk").wire())
    if entry["overdue"]:
        warned.append(fault("/received_at", "overdue_already").wire())
    return Submitted(**{**vars(done), "warnings": warned})


def _of_time(
    body: CounterBody, received_at: datetime, late: bool, uow: UnitOfWork
) -> list[FieldError]:
    errors = []
    days = getattr(uow.runtime.settings, "late_entry_days", 30)
    if received_at > uow.now:
        errors.append(fault("/received_at", "in_future"))
    if received_at < uow.now - timedelta(days=days):
        errors.append(fault("/received_at", "too_late"))
    elif late and body.late is None and body.letter is None:
        errors.append(fault("/late", "late_entry_reason"))
    if body.late and body.late.second_person == uow.actor.acted_by:
        errors.append(fault("/late/second_person", "second_person_same"))
    if body.place is None and body.address is None:
        errors.append(fault("/place", "where_needed"))
    return errors


def _entry(body: CounterBody, caller: Caller, place: str, received_at: datetime) -> model.Entry:
    context = dict(body.legal_context)
    asked = body.request_made_at
    if body.letter is not None:
        context |= {
            "posted_at": wire(body.letter.posted_at),
            "arrived_at": wire(body.letter.arrived_at),
            "letter_number": body.letter.number,
        }
        asked = asked or body.letter.posted_at  # posting in time is in time (T-07)
    if body.assigned_from_above is not None:
        context |= {
            "assigned_by": body.assigned_from_above.organisation,
            "assigned_number": body.assigned_from_above.number,
            "assigned_on": body.assigned_from_above.on.isoformat(),
        }
    if body.no_party_yet is not None:
        context["no_party_yet"] = body.no_party_yet
    if body.proactive:
        context["proactive"] = True
    elif asked is None:
        asked = received_at
    return model.Entry(
        organisation=caller.organisation,
        organisation_kind=caller.organisation_kind or "",
        reference=body.reference or f"CE-{day_of(received_at)}-{new_id().hex[-10:]}",
        channel=body.channel,
        place=place,
        place_text=body.address,
        text=body.text,
        received_at=received_at,
        request_made_at=None if body.proactive else asked,
        who=body.who.model_dump() if body.who else None,
        whom=body.whom.model_dump() if body.whom else None,
        kind=body.kind,
        lane=body.lane,
        dispute_type=body.dispute_type,
        title=body.title,
        claims=tuple(body.claims),
        claim_fen=body.claim_fen,
        occurred_at=body.occurred_at,
        documents=tuple(scan.model_dump() for scan in body.scans),
        concerns=tuple(concern.model_dump() for concern in body.concerns),
        context=context,
    )


async def _note(
    body: CounterBody,
    caller: Caller,
    done: Submitted,
    late: bool,
    note: dict[str, Any],
    received_at: datetime,
    uow: UnitOfWork,
) -> None:
    sealed = None
    if body.late is not None:
        sealed = keys_of(uow.runtime).vault.seal(
            ENTRY, done.referral_id, {"reason": body.late.reason}
        )
    await repository.add_entry(
        uow,
        referral_id=done.referral_id,
        case_id=done.case_id,
        organisation=caller.organisation,
        late=late and body.late is not None,
        **note,
        second_person=body.late.second_person if body.late else None,
        paper_number=body.late.paper_number if body.late else None,
        kek_id=sealed.kek_id if sealed else None,
        wrapped_key=sealed.wrapped_key if sealed else None,
        reason=sealed.fields["reason"] if sealed else None,
        received_at=received_at,
    )
    if body.late is not None:
        uow.audit(
            "referral.entered_late",
            case_id=done.case_id,
            subject=str(done.referral_id),
            detail={"second_person": body.late.second_person, "overdue": note["overdue"]},
        )


async def attach(
    case_id: UUID,
    uow: UnitOfWork,
    *,
    organisation: str,
    kind: str,
    text: str | None,
    reference: str | None,
    mandate_id: UUID | None,
    received_at: datetime | None,
    mandate_at: str = mandates.HEADER,
) -> UUID:
    """Attach a supplement or a repeat call; neither order nor state of the case changes.

    Emits ``SupplementReceived``. Raises what ``mandates.in_force`` raises.
    """
    at = received_at or uow.now
    if at > uow.now:
        raise Invalid(errors=[fault("/received_at", "in_future")])
    await uow.lock_case(case_id)
    mandate = None
    if mandate_id is not None:
        mandate = await mandates.in_force(uow, case_id, mandate_id, pointer=mandate_at)
    supplement_id = new_id()
    sealed = keys_of(uow.runtime).vault.seal(SUPPLEMENT, supplement_id, {"text": text})
    await repository.add_supplement(
        uow,
        supplement_id=supplement_id,
        case_id=case_id,
        organisation=organisation,
        kind=kind,
        reference=reference,
        mandate_id=mandate_id,
        kek_id=sealed.kek_id,
        wrapped_key=sealed.wrapped_key,
        text=sealed.fields["text"],
        received_at=at,
    )
    uow.emit(
        SupplementReceived(
            case_id=case_id,
            supplement_id=supplement_id,
            kind="repeat_call" if kind == "repeat_call" else "supplement",
            organisation=organisation,
            received_at=at,
        ),
        occurred_at=at,
    )
    uow.audit(
        "case.supplemented",
        case_id=case_id,
        subject=str(supplement_id),
        detail=mandates.mark(mandate),
    )
    return supplement_id


async def give_mandate(case_id: UUID, body: MandateBody, caller: Caller, uow: UnitOfWork) -> UUID:
    """Record who files for a party; the party may still act alone. Emits ``MandateGiven``.

    Raises ``Invalid``.
    """
    await uow.lock_case(case_id)
    people = await parties(uow, case_id)
    party = next((p for p in people if p["ref"] == body.party_ref), None)
    if party is None:
        raise Invalid(errors=[fault("/party_ref", "party_unknown")])
    at = body.given_at or uow.now
    if at > uow.now:
        raise Invalid(errors=[fault("/given_at", "in_future")])
    mandate_id = new_id()
    agent = {"name": body.agent_name, "phone": body.agent_phone}
    sealed = keys_of(uow.runtime).vault.seal(MANDATE, mandate_id, {"agent": agent})
    await repository.add_mandate(
        uow,
        mandate_id=mandate_id,
        case_id=case_id,
        party_id=party["party_id"],
        organisation=caller.organisation,
        form=body.form,
        kek_id=sealed.kek_id,
        wrapped_key=sealed.wrapped_key,
        agent=sealed.fields["agent"],
        given_at=at,
    )
    uow.emit(
        MandateGiven(
            case_id=case_id,
            mandate_id=mandate_id,
            party_id=party["party_id"],
            organisation=caller.organisation,
            given_at=at,
        ),
        occurred_at=at,
    )
    detail = mandates.mark({"mandate_id": mandate_id, "party_id": party["party_id"]})
    uow.audit("mandate.given", case_id=case_id, subject=str(mandate_id), detail=detail)
    return mandate_id


async def revoke(mandate: Any, uow: UnitOfWork, *, told_by: str) -> Any:
    """End a mandate at once; never refused, and a repeat answers the first time.

    An act under it that has begun here ends first: it holds the mandate. Emits
    ``MandateRevoked``, once.
    """
    await uow.lock_case(mandate["case_id"])
    row: Any = await repository.mandate(uow, mandate["mandate_id"])
    if row["revoked_at"] is None:
        row = await repository.revoke(uow, mandate["mandate_id"], at=uow.now, told_by=told_by)
        uow.emit(
            MandateRevoked(
                case_id=row["case_id"],
                mandate_id=row["mandate_id"],
                party_id=row["party_id"],
                organisation=row["organisation"],
                revoked_at=uow.now,
                told_by="party" if told_by == "party" else "organisation",
            )
        )
        uow.audit(
            "mandate.revoked",
            case_id=row["case_id"],
            subject=str(row["mandate_id"]),
            detail=mandates.mark(row),
        )
    return row
