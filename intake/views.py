"""Rows made into what REST shows: the file, the timeline's share, the party's own view."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from intake import repository
from intake.duplicates.repository import joins_of
from intake.handlers import VAULT_FIELDS, VAULT_TABLE
from intake.keys import Keys
from intake.parties.handlers import acting
from intake.safety.handlers import Shield, shields
from intake.vault import Erased
from intake.withdrawals import repository as withdrawals
from services.directory import DirectoryCopy
from services.errors import NotFound
from services.events.envelope import CATALOGUE
from services.unit_of_work import UnitOfWork

# stage -> what is to happen next, and whether the body with the turn or the holder does it.
NEXT_ACTS: Final = {
    "registered": ("decide_who_handles", "routing"),
    "undecided": ("settle_who_handles", "holder"),
    "offered": ("accept_or_return", "turn"),
    "accepted": ("appoint_mediator", "holder"),
    "mediating": ("mediate", "holder"),
    "performing": ("follow_performance", "holder"),
    "failed": ("hand_over", "holder"),
}
_WORKING: Final = ("returned", "recalled", "ended")
# What a party is told of the way of its case; never who consented, nor sessions of others.
PARTY_STEPS: Final = (
    "liandiao.case.registered.v1",
    "liandiao.assignment.offered.v1",
    "liandiao.assignment.accepted.v1",
    "liandiao.assignment.deemed-accepted.v1",
    "liandiao.assignment.returned.v1",
    "liandiao.assignment.recalled.v1",
    "liandiao.case.routing-undecided.v1",
    "liandiao.case.lane-changed.v1",
    "liandiao.mediator.appointed.v1",
    "liandiao.agreement.effective.v1",
    "liandiao.mediation.ended.v1",
    "liandiao.referral.withdrawn.v1",
    "liandiao.withdrawal.settled.v1",
    "liandiao.case.closed.v1",
    "liandiao.case.reopened.v1",
    "liandiao.case.joined.v1",
    "liandiao.case.separated.v1",
    "liandiao.case.surviving-closed.v1",
)


def due(deadlines: list[Any]) -> Any | None:
    """The clock that ends next, among those that run."""
    return next((d for d in deadlines if d["state"] in ("running", "missed")), None)


def next_act(case: Any, assignments: list[Any]) -> dict[str, Any] | None:
    """What is to happen next, and by whom."""
    found = NEXT_ACTS.get(case["stage"])
    if found is None:
        return None
    act, by = found
    turn = [a["organisation"] for a in assignments if a["state"] not in _WORKING]
    who = {"routing": None, "holder": case["holder"], "turn": turn[-1] if turn else None}
    return {"act": act, "by": who[by]}


async def case_view(uow: UnitOfWork, case_id: UUID, organisation: str, held: set[str]) -> Any:
    """The whole case file for a participant."""
    case = await repository.case(uow, case_id)
    if case is None:
        raise NotFound()
    assignments = await repository.assignments(uow, case_id)
    deadlines = await repository.deadlines(uow, case_id)
    holders = await repository.holders(uow, case_id)
    return {
        **dict(case),
        "reference": await repository.own_reference(uow, case_id, organisation),
        "your_roles": sorted(held),
        "civil_loss_only": bool(case["legal_context"].get("civil_loss_only")),
        "due": _plain(due(deadlines)),
        "next_act": next_act(case, assignments),
        "holders": [holder_view(row) for row in holders],
        "parties": [dict(row) for row in await repository.parties(uow, case_id)],
        "documents": [dict(row) for row in await repository.documents(uow, case_id)],
        "assignments": [dict(row) for row in assignments],
        "deadlines": [dict(row) for row in deadlines],
        "joins": [dict(row) for row in await joins_of(uow.db, case_id)],
        "withdrawals": [dict(row) for row in await withdrawals.of_case(uow, case_id)],
        "as_of": await repository.as_of(uow, case_id),
        "parked": await repository.parked(uow, case_id),
    }


def holder_view(row: Any) -> dict[str, Any]:
    """One holder."""
    return {
        "organisation": row["holder"],
        "ground": row["ground"],
        "episode": row["episode"],
        "since": row["occurred_at"],
    }


def _plain(row: Any | None) -> dict[str, Any] | None:
    return None if row is None else dict(row)


def share(held: set[str]) -> list[str]:
    """The event types that these roles may see."""
    return [type_ for type_, spec in CATALOGUE.items() if held & set(spec.audience)]


def is_of_kind(type_: str, kind: str) -> bool:
    """Whether an event type is that kind: ``session.held``, or ``session`` for every one of it."""
    short = type_.removeprefix("liandiao.").rsplit(".v", 1)[0]
    return kind in (short, short.split(".")[0])


def timeline_view(row: Any) -> dict[str, Any]:
    """One entry, with the organisation that acted."""
    data = row["data"]
    acted = next(
        (data[name] for name in repository.ACTED_BY if isinstance(data.get(name), str)), None
    )
    return {**dict(row), "organisation": acted, "source": row["source"].lstrip("/")}


# -- people ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Around:
    """What stands around parties: who acts for them now, and what protects them."""

    acting: dict[UUID, list[dict[str, Any]]]
    shields: dict[UUID, Shield]


async def around(uow: UnitOfWork, keys: Keys, rows: list[Any]) -> Around:
    """Of these parties; the caller audits the reading."""
    ids = [row["party_id"] for row in rows]
    return Around(await acting(uow, keys, ids), await shields(uow, keys, ids))


def known_party(keys: Keys, row: Any, about: Around) -> dict[str, Any]:
    """A party opened from the vault; ``protected`` says what the other parties may not learn.

    Of its representatives those who act now: who was revoked is told to nobody. Of a party with a
    safe channel the safe number alone: others answer the one it had.
    """
    try:
        opened = keys.vault.open(
            VAULT_TABLE,
            row["party_id"],
            row["kek_id"],
            row["wrapped_key"],
            {name: row[name] for name in VAULT_FIELDS},
        )
    except Erased:
        opened = dict.fromkeys(VAULT_FIELDS)
    clear = ("party_id", "ref", "role", "kind", "organisation", "consent", "consent_on", "left_at")
    speaking = about.acting.get(row["party_id"], [])
    shield = about.shields.get(row["party_id"])
    if opened["details"]:
        opened["details"] = {
            name: value for name, value in opened["details"].items() if name != "representative"
        }
        if (person := _person(speaking)) is not None:
            opened["details"]["representative"] = person
    found = {
        **{name: row[name] for name in clear},
        **opened,
        "protected": {**row["protected"], **(shield.protected if shield else {})},
        "representatives": speaking,
        "safe_only": False,
    }
    if shield and shield.safe_only:
        safe = shield.safe_contact or {}
        found |= {"phone": safe.get("phone"), "safe_only": True, "safe_note": safe.get("note")}
    return found


def _person(speaking: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one who acts from outside the parties, the last that was named."""
    return next((each for each in speaking if each["representative_party_id"] is None), None)


def contact_view(keys: Keys, row: Any, about: Around) -> dict[str, Any]:
    """How to reach a party; ``neutral`` asks for a text without name, matter and place.

    A party with a safe channel is reached by it alone, else at the desk: neither by the phone that
    others answer, nor by letter, nor through a representative.
    """
    found = known_party(keys, row, about)
    details = found["details"] or {}
    shield = about.shields.get(row["party_id"])
    answer = {
        **found,
        "case_id": row["case_id"],
        "case_number": row["case_number"],
        "languages": details.get("languages") or [],
        "needs": details.get("needs") or [],
        "neutral": any(found["protected"].values())
        or not row["joint_sessions"]
        or bool(shield and shield.neutral),
        "representative": _person(found["representatives"]),
    }
    if answer["safe_only"]:
        answer |= {"address": None, "representative": None, "representatives": []}
    return answer


def access_view(row: Any, *, for_party: bool) -> dict[str, Any]:
    """One opening of the file; a party sees the organisation, not the person or the client."""
    found = {
        "at": row["recorded_at"],
        "what": row["action"],
        "organisation": row["organisation"] or row["detail"].get("for"),
        "purpose": row["purpose"],
        "mandate_id": row["detail"].get("mandate_id"),
        "chain_number": row["chain_number"],
    }
    if not for_party:
        found |= {"client": row["actor"], "acted_by": row["acted_by"]}
    return found


def organisation_name(directory: DirectoryCopy, code: str) -> dict[str, Any]:
    """An organisation's public name and number, as far as the directory has them."""
    entry = directory.organisation(code) or {}
    contact = entry.get("contact") or {}
    return {
        "code": code,
        "name_zh": entry.get("name_zh"),
        "name_en": entry.get("name_en"),
        "phone": contact.get("phone"),
    }


async def party_case(uow: UnitOfWork, case_id: UUID, party_id: UUID) -> Any:
    """What a party sees of its case; of one it has left, what there was to see until then."""
    case = await repository.case(uow, case_id)
    people = {p["party_id"]: p for p in await repository.parties(uow, case_id)}
    if case is None or party_id not in people:
        raise NotFound()
    directory = uow.runtime.directory
    holders = [
        {
            "organisation": organisation_name(directory, row["holder"]),
            "ground": row["ground"],
            "since": row["occurred_at"],
        }
        for row in await repository.holders(uow, case_id)
    ]
    steps = await repository.timeline(
        uow, case_id, types=list(PARTY_STEPS), linked_as=None, before=None, limit=200
    )
    left_at = people[party_id]["left_at"]
    if left_at is not None:
        holders = [h for h in holders if h["since"] <= left_at] or holders[:1]
        steps = [row for row in steps if row["occurred_at"] <= left_at]
    withdrawn = await withdrawals.of_round(uow, case_id, case["episode"])
    survivor = await _survivor(uow, case_id)
    going_on = survivor or case
    if survivor is not None:
        # The file rests: who answers for the dispute now is who holds the one it is handled in.
        holder = organisation_name(directory, survivor["holder"])
        since = survivor["held_since"]
        holders.append({"organisation": holder, "ground": "joined", "since": since})
    return {
        **dict(case),
        "your_role": people[party_id]["role"],
        "you_left_at": left_at,
        "joined_into": survivor["case_number"] if survivor else None,
        "ask_by": withdrawn["ask_by"]
        if withdrawn is not None and withdrawn["state"] == "waiting" and left_at is None
        else None,
        "holder": holders[-1],
        "earlier_holders": holders[:-1],
        "due": None
        if left_at
        else _plain(due(await repository.deadlines(uow, going_on["case_id"]))),
        "next_act": None
        if left_at
        else next_act(going_on, await repository.assignments(uow, going_on["case_id"])),
        "steps": [_step(directory, row) for row in reversed(steps)],
    }


async def _survivor(uow: UnitOfWork, case_id: UUID) -> Any | None:
    """The case that this one is joined to, if it is."""
    for row in await joins_of(uow.db, case_id):
        if row["joined_case_id"] == case_id:
            return await repository.case(uow, row["surviving_case_id"])
    return None


def _step(directory: DirectoryCopy, row: Any) -> dict[str, Any]:
    acted = timeline_view(row)["organisation"]
    return {
        "what": row["type"].removeprefix("liandiao.").removesuffix(".v1"),
        "occurred_at": row["occurred_at"],
        "organisation": organisation_name(directory, acted) if acted else None,
        "ground": row["data"].get("ground"),
    }
