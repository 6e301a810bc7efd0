"""Screening a party in private, what follows from it, and the alert to the police."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from intake import repository as cases
from intake.keys import Keys, keys_of
from intake.messages import fault
from intake.model import NO_JOINT_SESSIONS
from intake.notices import repository as notices
from intake.notices.repository import Owed
from intake.organs import at_work, nearest, with_role
from intake.referral_document import opened as opened_document
from intake.safety import repository, rules
from intake.vault import Erased
from services.calendar import add, day_of, shipped
from services.errors import CaseClosedProblem, Conflict, Gone, Invalid, NotFound
from services.events import lanes
from services.events.intake import (
    AlertRaised,
    AlertWithdrawn,
    HandlingConstraintsChanged,
    PartyChanged,
)
from services.ids import new_id
from services.unit_of_work import UnitOfWork

SCREENING: Final = "screening"
ALERT: Final = "alert"
# Which of a party's data a consequence protects.
SHIELDS: Final = {
    "hidden_address": ("address",),
    "safe_channel": ("phone", "address"),
    "neutral_messages": (),
    "no_joint_session": (),
}


@dataclass(frozen=True)
class Screening:
    """What was asked and answered, by which channel, and how to reach the party safely."""

    form_version: int
    answers: dict[str, str]
    channel: str
    safe_contact: dict[str, Any] | None = None
    confirmed_by: str | None = None


async def screen(
    uow: UnitOfWork,
    case_id: UUID,
    party: Any,
    found: Screening,
    *,
    occurred_at: datetime | None,
) -> UUID:
    """Seal the answers and let what follows from them travel.

    Emits ``HandlingConstraintsChanged``, ``PartyChanged`` and ``AlertRaised``; none says why. What
    protected a party falls away only by a second member of the staff, never by the party's own new
    answer, which may be forced. Raises ``Invalid``, ``CaseClosedProblem``.
    """
    stream = await uow.lock_case(case_id)
    case = await cases.case(uow, case_id)
    if case is None:
        raise NotFound()
    if stream.closed:
        raise CaseClosedProblem()
    form = rules.form(found.form_version)
    if form is None:
        raise Invalid(errors=[fault("/form_version", "form_version_unknown")])
    at = occurred_at or uow.now
    errors = [fault(f"/answers/{f.question}", f.rule) for f in rules.faults(form, found.answers)]
    if at > uow.now:
        errors.append(fault("/occurred_at", "in_future"))
    if errors:
        raise Invalid(errors=errors)
    keys = keys_of(uow.runtime)
    outcome = rules.outcome(form, found.answers)
    last = (await repository.latest(uow, [party["party_id"]])).get(party["party_id"])
    before = tuple(last["consequences"]) if last else ()
    consequences = _kept(uow, found, before, outcome.consequences)
    id_ = await _store(uow, keys, case_id, party, found, consequences, at, last)
    await _travel(uow, keys, case, before, consequences)
    if set(before) != set(consequences) or found.safe_contact is not None:
        uow.emit(
            PartyChanged(
                case_id=case_id,
                party_id=party["party_id"],
                changed=("protected",),
                changed_at=uow.now,
            )
        )
    caller = uow.caller
    raised_by = caller.organisation if caller else case["holder"]
    for kind, ground in outcome.alerts:
        await alert(uow, keys, case_id, party["party_id"], kind, ground, raised_by, at)
    uow.audit(
        "screening.recorded",
        case_id=case_id,
        subject=str(id_),
        detail={"parties": [str(party["party_id"])]},
    )
    return id_


def _kept(
    uow: UnitOfWork, found: Screening, before: tuple[str, ...], after: tuple[str, ...]
) -> tuple[str, ...]:
    """What protects the party from now on. Raises ``Invalid`` when one person would lift it."""
    lifted = rules.lifted(before, after)
    if not lifted:
        return after
    if uow.caller is None:
        return rules.in_order((*before, *after))
    if uow.actor.acted_by is None:
        raise Invalid(errors=[fault("#header/Acted-By", "staff_required")])
    if found.confirmed_by is None or found.confirmed_by == uow.actor.acted_by:
        raise Invalid(errors=[fault("/confirmed_by", "second_person_required")])
    return after


async def _store(
    uow: UnitOfWork,
    keys: Keys,
    case_id: UUID,
    party: Any,
    found: Screening,
    consequences: tuple[str, ...],
    at: datetime,
    last: Any,
) -> UUID:
    id_ = new_id()
    contact = found.safe_contact
    if contact is None and last is not None and "safe_channel" in consequences:
        contact = opened(keys, last)["safe_contact"]
    fields: dict[str, Any] = {"answers": found.answers}
    if contact is not None:
        fields["safe_contact"] = contact
    sealed = keys.vault.seal(SCREENING, id_, fields)
    await repository.add_screening(
        uow,
        {
            "screening_id": id_,
            "case_id": case_id,
            "party_id": party["party_id"],
            "form_version": found.form_version,
            "channel": found.channel,
            "organisation": uow.caller.organisation if uow.caller else None,
            "acted_by": uow.actor.acted_by,
            "confirmed_by": found.confirmed_by,
            "consequences": list(consequences),
            "kek_id": sealed.kek_id,
            "wrapped_key": sealed.wrapped_key,
            "answers": sealed.fields["answers"],
            "safe_contact": sealed.fields.get("safe_contact"),
            "occurred_at": at,
            "recorded_at": uow.now,
        },
    )
    return id_


async def _travel(
    uow: UnitOfWork,
    keys: Keys,
    case: Any,
    before: tuple[str, ...],
    after: tuple[str, ...],
) -> None:
    """Tell what handling must change, when it changes; never why."""
    if set(before) == set(after):
        return
    case_id = case["case_id"]
    whole = await repository.consequences_of_case(uow, case_id)
    joint = "no_joint_session" not in whole
    if joint and not case["joint_sessions"]:
        joint = await _sender_allows(uow, keys, case_id)
    await repository.set_joint_sessions(uow, case_id, joint)
    uow.emit(
        HandlingConstraintsChanged(
            case_id=case_id,
            joint_sessions=joint,
            shielded=bool(whole & {"hidden_address", "safe_channel"}),
            neutral_messages=bool(whole & {"neutral_messages", "safe_channel"}),
            changed_at=uow.now,
        )
    )


async def _sender_allows(uow: UnitOfWork, keys: Keys, case_id: UUID) -> bool:
    """Whether the referral's own concerns leave room for joint sessions."""
    row = await cases.referral_of_case(uow, case_id)
    kinds = {concern["kind"] for concern in opened_document(keys, row)["safety"]["concerns"]}
    return not kinds & NO_JOINT_SESSIONS


def opened(keys: Keys, row: Any) -> dict[str, Any]:
    """The answers and the safe contact of a screening; nothing of one that was erased."""
    sealed = {"answers": row["answers"], "safe_contact": row["safe_contact"]}
    try:
        return keys.vault.open(
            SCREENING, row["screening_id"], row["kek_id"], row["wrapped_key"], sealed
        )
    except Erased:
        return dict.fromkeys(sealed)


# -- the alert -----------------------------------------------------------------------------------


async def alert(
    uow: UnitOfWork,
    keys: Keys,
    case_id: UUID,
    party_id: UUID,
    kind: str,
    ground: str,
    raised_by: str,
    at: datetime,
    *,
    asks: str | None = None,
) -> None:
    """Have the police asked at once, without waiting for acceptance (人民调解法 25: R-13, N-06-08).

    Or the organ ``asks``. Emits ``AlertRaised``, unless one of the kind is open or whoever would be
    asked knows it: the police, or that organ, raise it themselves. What the kind tells besides the
    police is told by alerts of its own, or by hand.
    """
    id_ = new_id()
    sealed = keys.vault.seal(
        ALERT, id_, {"ground": {"ground": ground, "law": rules.law_of(ground)}}
    )
    entry = uow.runtime.directory.organisation(raised_by) or {}
    told = raised_by == asks if asks else entry.get("kind") == "police"
    added = await repository.add_alert(
        uow,
        {
            "alert_id": id_,
            "case_id": case_id,
            "party_id": party_id,
            "kind": kind,
            "state": "answered" if told else "raised",
            "raised_by": raised_by,
            "acted_by": uow.actor.acted_by,
            "asked": raised_by if told else None,
            "kek_id": sealed.kek_id,
            "wrapped_key": sealed.wrapped_key,
            "ground": sealed.fields["ground"],
            "settled_at": uow.now if told else None,
            "occurred_at": at,
            "recorded_at": uow.now,
        },
    )
    if not added:
        return
    uow.audit("alert.known" if told else "alert.raised", case_id=case_id, subject=str(id_))
    if not told:
        uow.emit(
            AlertRaised(
                case_id=case_id,
                alert_id=id_,
                asks=asks,
                raised_by=raised_by,
                legal_basis=rules.data()["travels_as"],
                raised_at=uow.now,
            ),
            occurred_at=at,
        )
    for other, role in rules.also_told(kind):
        organ = await _organ(uow, case_id, role)
        if organ is not None:
            await alert(uow, keys, case_id, party_id, other, ground, raised_by, at, asks=organ)
        else:
            await _by_hand(uow, id_, other, raised_by, at)


async def _organ(uow: UnitOfWork, case_id: UUID, role: str) -> str | None:
    """The organ with the role nearest to the place of the case, if the directory has one."""
    place = await repository.place_of(uow, case_id)
    wanted = at_work(with_role(role), day_of(uow.now).isoformat())
    return nearest(uow.runtime.directory, place, wanted)


async def _by_hand(uow: UnitOfWork, alert_id: UUID, kind: str, teller: str, at: datetime) -> None:
    """No machine reaches the organ: whoever raised it tells it, and says how and when."""
    length, law = lanes.site("alert"), rules.data()["alerts"][kind]["source"]
    due_at = add(at, length.n, length.unit, shipped()).due_at
    owed = Owed("receiver", kind, teller, law, due_at=due_at)
    await notices.add(uow, "alert", alert_id, [owed])


async def alert_registered(
    uow: UnitOfWork,
    keys: Keys,
    case_id: UUID,
    referral: Any,
    parties: list[dict[str, Any]],
) -> None:
    """The sender's own concerns alert too; for the applicants, who ask for protection."""
    for kind, concern in rules.alerts_of_concerns(referral.concerns):
        for party in parties:
            if party["role"] == "applicant":
                await alert(
                    uow,
                    keys,
                    case_id,
                    party["party_id"],
                    kind,
                    concern,
                    referral.organisation,
                    referral.received_at,
                )


async def dismiss(uow: UnitOfWork, row: Any, ground: str) -> bool:
    """Say that there is nothing in an alert: two members of the staff, never one (N-07, N-08).

    Answers whether it is dismissed now; then emits ``AlertWithdrawn``. Raises ``Invalid``,
    ``Conflict``.
    """
    acted_by = uow.actor.acted_by
    if acted_by is None:
        raise Invalid(errors=[fault("#header/Acted-By", "staff_required")])
    await uow.lock_case(row["case_id"])
    fresh = await repository.alert(uow, row["alert_id"])
    if fresh is None:
        raise NotFound()
    if fresh["state"] not in ("raised", "asked"):
        raise Conflict("the alert was answered or dismissed")
    if fresh["proposed_by"] is None:
        await repository.propose_dismissal(uow, row["alert_id"], ground, acted_by)
        uow.audit("alert.dismissal_proposed", case_id=row["case_id"], subject=str(row["alert_id"]))
        return False
    if fresh["proposed_by"] == acted_by:
        raise Invalid(errors=[fault("#header/Acted-By", "second_person_required")])
    await repository.dismiss(uow, row["alert_id"], acted_by)
    await notices.release(uow, row["alert_id"])
    uow.emit(
        AlertWithdrawn(
            case_id=row["case_id"],
            alert_id=row["alert_id"],
            ground=fresh["dismissal_ground"],
            withdrawn_at=uow.now,
        )
    )
    uow.audit("alert.dismissed", case_id=row["case_id"], subject=str(row["alert_id"]))
    return True


def ground_of(keys: Keys, row: Any) -> dict[str, str]:
    """What was said, and the law; the caller audits the reading."""
    sealed = {"ground": row["ground"]}
    try:
        found: dict[str, str] = keys.vault.open(
            ALERT, row["alert_id"], row["kek_id"], row["wrapped_key"], sealed
        )["ground"]
    except Erased:
        raise Gone("it was erased") from None
    return found


# -- what protects a party, where it is shown ----------------------------------------------------


@dataclass(frozen=True)
class Shield:
    """What protects one party now."""

    consequences: frozenset[str]
    safe_contact: dict[str, Any] | None

    @property
    def protected(self) -> dict[str, bool]:
        """Which of the party's data the other parties may not learn."""
        return {name: True for c in self.consequences for name in SHIELDS[c]}

    @property
    def neutral(self) -> bool:
        """Whether messages name neither the party nor the matter nor the place."""
        return bool(self.consequences & {"neutral_messages", "safe_channel"})

    @property
    def safe_only(self) -> bool:
        """Whether the party is reached by the safe way alone."""
        return "safe_channel" in self.consequences


async def shields(uow: UnitOfWork, keys: Keys, party_ids: list[UUID]) -> dict[UUID, Shield]:
    """What protects these parties, by their last screening."""
    found = {}
    for party_id, row in (await repository.latest(uow, party_ids)).items():
        if row["consequences"]:
            contact = opened(keys, row)["safe_contact"] if row["safe_contact"] else None
            found[party_id] = Shield(frozenset(row["consequences"]), contact)
    return found
