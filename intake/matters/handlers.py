"""What is done with a matter: taken, passed on, answered, made a dispute."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from intake import receipt
from intake.case_number import MATTER
from intake.handlers import Submitted, fault, submit_referral, submitted
from intake.keys import Keys, keys_of
from intake.matters import repository
from intake.matters.model import Kind, due, exit_of, hidden, kinds
from intake.notices import repository as notices
from intake.notices.repository import Owed
from intake.organs import agency
from intake.records import keeping
from intake.repository import referral_of_case
from intake.serials import serials_of
from intake.validation import county, normal_reference
from intake.vault import canonical
from services.clock import SHANGHAI, wire
from services.errors import Conflict, Gone, Invalid, NotFound, ReferenceInUse, VersionMismatch
from services.ids import new_id
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

TABLE: Final = "matter"
# Where it went, or its answer, is told in writing within 15 days (F-07, F-08).
TOLD_BY: Final = "信访工作条例 23"
# Who left neither name nor address is owed no notice (信访工作条例 23).
HERE_IN_PERSON: Final = ("counter", "visit")


@dataclass(frozen=True)
class NewMatter:
    """A matter as it comes in; ``content`` is sealed: person, about, title, text."""

    kind: str
    place: str
    channel: str
    content: dict[str, Any]
    request_made_at: datetime
    received_at: datetime
    about: str | None = None
    reference: str | None = None

    @property
    def reachable(self) -> bool:
        """Whether there is anybody who can be told."""
        person = self.content.get("person") or {}
        contact = person.get("phone") or person.get("address")
        return bool(person.get("name") and (contact or self.channel in HERE_IN_PERSON))


async def take(
    new: NewMatter, uow: UnitOfWork, *, organisation: str, connection: str | None
) -> Any:
    """Register a matter and send it where its kind goes; answers its row.

    The line it is about never sees it again (信访工作条例 30). Party and receiver are told, as
    tasks of the same transaction. Raises ``Invalid``, ``ReferenceInUse``.
    """
    kind, directory, keys = kinds()[new.kind], uow.runtime.directory, keys_of(uow.runtime)
    _check(new, kind, uow)
    holder = exit_of(kind, directory, receiver=organisation, place=new.place, about=new.about)
    matter_id = new_id()
    sealed = keys.vault.seal(TABLE, matter_id, {"content": new.content})
    secret = receipt.secret(keys.receipt, matter_id, 1)
    year = uow.now.astimezone(SHANGHAI).year
    row: dict[str, Any] = {
        "matter_id": matter_id,
        "number": await serials_of(uow.runtime).number(
            county(new.place, organisation, directory), year, MATTER
        ),
        "kind": new.kind,
        "organisation": organisation,
        "connection": connection,
        "reference": new.reference,
        "normal_reference": normal_reference(new.reference) if new.reference else None,
        "fingerprint": _fingerprint(keys, new),
        "place": new.place,
        "channel": new.channel,
        "holder": holder,
        "about_agency": agency(directory, new.about) if kind.sealed and new.about else None,
        "reachable": new.reachable,
        "kek_id": sealed.kek_id,
        "wrapped_key": sealed.wrapped_key,
        "content": sealed.fields["content"],
        "receipt_hash": receipt.secret_hash(keys.receipt, matter_id, secret),
        "request_made_at": new.request_made_at,
        "received_at": new.received_at,
        "due_at": due(kind, new.received_at),
        "recorded_at": uow.now,
    }
    if not await repository.add(uow, row):
        return await _again(new, uow, organisation, row["fingerprint"])
    await repository.add_step(
        uow, matter_id, "received", organisation=organisation, occurred_at=new.received_at
    )
    uow.audit("matter.received", subject=str(matter_id), detail={"kind": new.kind})
    await _sent_on(row, uow)
    return {**row, "state": "open", "adoption": None, "case_id": None, "version": 1}


def _check(new: NewMatter, kind: Kind, uow: UnitOfWork) -> None:
    errors = []
    if uow.runtime.directory.place(new.place) is None:
        errors.append(fault("/place", "place_unknown"))
    if kind.about_needed and not (new.about or (new.content.get("about") or {}).get("words")):
        errors.append(fault("/about", "about_needed"))
    if new.about and uow.runtime.directory.organisation(new.about) is None:
        errors.append(fault("/about/organisation", "organisation_unknown"))
    for name in ("request_made_at", "received_at"):
        if getattr(new, name) > uow.now:
            errors.append(fault(f"/{name}", "in_future"))
    if errors:
        raise Invalid(errors=errors)


def _fingerprint(keys: Keys, new: NewMatter) -> bytes:
    text = canonical([new.kind, new.place, new.channel, new.about, new.content])
    return hmac.digest(keys.vault.keys.secret("fingerprint"), text, hashlib.sha256)


async def _again(new: NewMatter, uow: UnitOfWork, organisation: str, print_: bytes) -> Any:
    row = await repository.by_reference(uow, organisation, normal_reference(new.reference or ""))
    if row is None or not hmac.compare_digest(bytes(row["fingerprint"]), print_):
        raise ReferenceInUse(errors=[fault("/reference", "reference_in_use")])
    return dict(row)


async def _sent_on(row: Any, uow: UnitOfWork) -> None:
    """Note where it went and owe both notices: it is sent only when both have a task (双告知)."""
    organisation, holder, directory = row["organisation"], row["holder"], uow.runtime.directory
    out_of_sight = hidden(row["about_agency"], directory, organisation)
    teller = holder if out_of_sight else organisation
    if holder not in (None, organisation):
        await repository.add_step(
            uow,
            row["matter_id"],
            "transferred",
            organisation=organisation,
            to=holder,
            ground="kind",
            citation=kinds()[row["kind"]].citation,
            occurred_at=uow.now,
        )
        await _owe_both(row, uow, teller=teller or holder, to=holder)
    elif teller is not None:
        await notices.add(uow, "matter", row["matter_id"], [_to_party(row, "received", teller)])


def _to_party(row: Any, about: str, teller: str) -> Owed:
    state = "task" if row["reachable"] else "not_owed"
    return Owed("party", about, teller, TOLD_BY, state, row["due_at"])


async def _owe_both(row: Any, uow: UnitOfWork, *, teller: str, to: str) -> None:
    receiver = Owed("receiver", "transferred", to, TOLD_BY, due_at=row["due_at"], to=to)
    both = [replace(_to_party(row, "transferred", teller), to=to), receiver]
    await notices.add(uow, "matter", row["matter_id"], both)


async def deliver(runtime: "Runtime") -> int:
    """Give matters that nobody holds to the organ the directory names by now; answers how many."""
    delivered = 0
    for matter_id in await repository.waiting(runtime.pool):
        async with runtime.unit_of_work() as uow:
            row = await repository.locked(uow, matter_id)
            if row is None or row["holder"] is not None:
                continue
            kind = kinds()[row["kind"]]
            holder = exit_of(
                kind,
                runtime.directory,
                receiver=row["organisation"],
                place=row["place"],
                about=row["about_agency"],
            )
            if holder is not None:
                await _sent_on(await repository.move(uow, matter_id, holder=holder), uow)
                delivered += 1
    return delivered


async def held(
    matter_id: UUID, uow: UnitOfWork, organisation: str, *, version: int | None = None
) -> Any:
    """The matter, locked, for whoever must answer it. Raises ``NotFound``, ``VersionMismatch``."""
    row = await repository.seen(
        uow, organisation, agency(uow.runtime.directory, organisation), matter_id, lock=True
    )
    if row is None or row["holder"] != organisation:
        raise NotFound()
    if version is not None and row["version"] != version:
        raise VersionMismatch()
    return row


def _require_content(row: Any) -> None:
    if not row["wrapped_key"]:
        raise Gone("what was said has been erased. 所述内容已经删除。")


def _when(occurred_at: datetime | None, uow: UnitOfWork) -> datetime:
    if occurred_at is not None and occurred_at > uow.now:
        raise Invalid(errors=[fault("/occurred_at", "in_future")])
    return occurred_at or uow.now


async def transfer(
    row: Any,
    uow: UnitOfWork,
    *,
    to: str,
    ground: str,
    citation: str | None,
    occurred_at: datetime | None,
) -> Any:
    """Pass a matter on; party and receiver are told. Never to the line it is about (F-21)."""
    directory = uow.runtime.directory
    if directory.organisation(to) is None:
        raise Invalid(errors=[fault("/to", "organisation_unknown")])
    if hidden(row["about_agency"], directory, to):
        raise Invalid(errors=[fault("/to", "to_the_line")])
    if to == row["holder"]:
        raise Invalid(errors=[fault("/to", "same_holder")])
    if row["state"] != "open":
        _require_content(row)
        raise Conflict("the matter is answered")
    await repository.add_step(
        uow,
        row["matter_id"],
        "transferred",
        organisation=row["holder"],
        to=to,
        ground=ground,
        citation=citation,
        occurred_at=_when(occurred_at, uow),
    )
    await _owe_both(row, uow, teller=row["holder"], to=to)
    uow.audit("matter.transferred", subject=str(row["matter_id"]), detail={"to": to})
    return await repository.move(uow, row["matter_id"], holder=to)


async def answer(
    row: Any, uow: UnitOfWork, *, text: str, adoption: str | None, occurred_at: datetime | None
) -> Any:
    """Answer a matter; a suggestion says whether it is adopted, and may say so again later."""
    kind = kinds()[row["kind"]]
    if kind.adoption and adoption is None:
        raise Invalid(errors=[fault("/adoption", "adoption_needed")])
    if not kind.adoption and adoption is not None:
        raise Invalid(errors=[fault("/adoption", "adoption_not_here")])
    if row["state"] == "converted":
        raise Conflict("the matter has become a dispute")
    _require_content(row)
    at = _when(occurred_at, uow)
    sealed = keys_of(uow.runtime).vault.reseal(
        TABLE, row["matter_id"], row["kek_id"], row["wrapped_key"], {"answer": text}
    )
    await repository.add_step(
        uow,
        row["matter_id"],
        "answered",
        organisation=row["holder"],
        ground=adoption,
        text=sealed["answer"],
        occurred_at=at,
    )
    await notices.add(uow, "matter", row["matter_id"], [_to_party(row, "answered", row["holder"])])
    uow.audit("matter.answered", subject=str(row["matter_id"]), detail={"adoption": adoption})
    await keeping.begin(uow, row["matter_id"], TABLE, row["kind"], at)
    answered_at = row["answered_at"] or at  # a suggestion may be told more later; the first counts
    return await repository.move(
        uow, row["matter_id"], state="answered", adoption=adoption, answered_at=answered_at
    )


async def convert(
    row: Any, uow: UnitOfWork, *, document: Any, connection: str | None
) -> tuple[Any, Submitted]:
    """Make a matter a dispute: the holder's referral keeps the day on which it was asked (LIM-1).

    Emits what a referral emits. Raises ``Invalid`` when the kind becomes no dispute, and whatever
    ``submit_referral`` raises.
    """
    if not kinds()[row["kind"]].convertible:
        raise Invalid(errors=[fault("/kind", "not_convertible")])
    if row["state"] == "converted":
        raise Conflict("the matter has become a dispute")
    _require_content(row)
    if isinstance(document, dict):
        document = {**document, "request_made_at": wire(row["request_made_at"])}
    done = await submit_referral(
        document, uow, organisations=(row["holder"],), connection=connection
    )
    await repository.add_step(
        uow, row["matter_id"], "converted", organisation=row["holder"], occurred_at=uow.now
    )
    uow.audit("matter.converted", case_id=done.case_id, subject=str(row["matter_id"]))
    moved = await repository.move(
        uow,
        row["matter_id"],
        state="converted",
        case_id=done.case_id,
        answered_at=row["answered_at"] or uow.now,
    )
    return moved, done


async def converted(row: Any, uow: UnitOfWork) -> Submitted:
    """The first answer of a conversion, built again. Raises ``NotFound`` once it is erased."""
    first = row["case_id"] and await referral_of_case(uow, row["case_id"])
    if first is None:
        raise NotFound()
    return await submitted(uow, keys_of(uow.runtime), first)
