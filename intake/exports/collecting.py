"""What a copy of a case file holds: as much as its organisation may see, and no more."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from intake import repository, views
from intake.attachments import handlers as papers
from intake.attachments import repository as attachments
from intake.keys import keys_of
from intake.tracking import words
from services.access import AgencyScope
from services.auth import Caller
from services.clock import wire
from services.errors import NotFound
from services.unit_of_work import UnitOfWork

PAGE: Final = 500
MOST_ENTRIES: Final = 20_000
_KNOWS_PARTIES: Final = ("source", "handler")


class TooMuch(Exception):
    """The file has more entries than one copy should hold."""


@dataclass(frozen=True)
class CaseCopy:
    """A case file at one instant; every code has its words beside it."""

    case: dict[str, Any]
    parties: list[dict[str, Any]]
    timeline: list[dict[str, Any]]
    papers: list[dict[str, Any]]


def acting_for(organisation: str, client: str) -> Caller:
    """Whoever asked, again, when the copy is made."""
    return Caller(client, client, organisation, (organisation,), frozenset())


async def collect(uow: UnitOfWork, case_id: UUID, caller: Caller, *, purpose: str) -> CaseCopy:
    """The whole share of the organisation as it is now.

    Opening the parties is logged like any other. Raises ``NotFound``, ``TooMuch``.
    """
    scope = AgencyScope(caller)
    held = await scope.require(uow, case_id)
    found = await views.case_view(uow, case_id, scope.organisation, held)
    return CaseCopy(
        _case(uow, found),
        await _parties(uow, case_id, found, held, purpose),
        await timeline(uow, case_id, scope, held),
        await _papers(uow, case_id, scope),
    )


def _case(uow: UnitOfWork, found: dict[str, Any]) -> dict[str, Any]:
    directory = uow.runtime.directory
    shown = {k: v for k, v in found.items() if k not in ("parties", "duplicates", "legal_context")}
    return {
        **shown,
        "words": {
            "stage": words.word("stage", found["stage"]),
            "outcome": words.outcome(found["outcome"]),
            "lane": words.lane(found["lane"]),
            "dispute_type": words.dispute_type(found["dispute_type"]),
        },
        "holders": [
            {
                **holder,
                "organisation": views.organisation_name(directory, holder["organisation"]),
                "words": words.word("holding", holder["ground"]),
            }
            for holder in found["holders"]
        ],
        "deadlines": [
            {**row, "words": words.word("clock", row["kind"])} for row in found["deadlines"]
        ],
    }


async def _parties(
    uow: UnitOfWork, case_id: UUID, found: dict[str, Any], held: set[str], purpose: str
) -> list[dict[str, Any]]:
    """Names for source and handler; ids, roles and kinds for everybody else."""
    if not held & set(_KNOWS_PARTIES):
        known = list(found["parties"])
    else:
        keys = keys_of(uow.runtime)
        rows = await repository.sealed_parties(uow, case_id)
        uow.audit(
            "parties.read",
            case_id=case_id,
            purpose=purpose,
            detail={"parties": [str(row["party_id"]) for row in rows]},
        )
        about = await views.around(uow, keys, rows)
        known = [unprotected(views.known_party(keys, row, about)) for row in rows]
    return [{**party, "words": words.word("role", party["role"])} for party in known]


def unprotected(party: dict[str, Any]) -> dict[str, Any]:
    """A party as a copy may hold it: a copy travels, so what is protected is not in it.

    Whoever needs it opens the parties, for a purpose. Of somebody protected no details either.
    """
    hidden = {name for name, is_protected in party["protected"].items() if is_protected}
    if hidden:
        hidden |= {"details", "identity"}
    return {name: None if name in hidden else value for name, value in party.items()}


async def timeline(
    uow: UnitOfWork, case_id: UUID, scope: AgencyScope, held: set[str]
) -> list[dict[str, Any]]:
    """The organisation's share in the order of the stream, oldest record first."""
    found: list[Any] = []
    before: list[Any] | None = None
    while True:
        rows = await repository.timeline(
            uow,
            case_id,
            types=views.share(held),
            linked_as=scope.organisation if held == {"linked"} else None,
            before=before,
            limit=PAGE,
        )
        found += rows
        if len(rows) < PAGE:
            break
        if len(found) > MOST_ENTRIES:
            raise TooMuch
        before = [rows[-1]["recorded_at"].isoformat(), str(rows[-1]["event_id"])]
    directory = uow.runtime.directory
    return [_entry(directory, views.timeline_view(row)) for row in reversed(found)]


def _entry(directory: Any, entry: dict[str, Any]) -> dict[str, Any]:
    code = entry["organisation"]
    return {
        **entry,
        "words": words.what(entry["type"]),
        "organisation": views.organisation_name(directory, code) if code else None,
    }


async def _papers(uow: UnitOfWork, case_id: UUID, scope: AgencyScope) -> list[dict[str, Any]]:
    rows = await attachments.of_case(uow, case_id)
    if not rows:
        return []
    standing = await papers.viewer(uow, scope, case_id, rows[0]["holder"])
    keys = keys_of(uow.runtime)
    return [
        papers.view(keys, row, named=True)
        for row in rows
        if papers.sees(standing, row) and row["gone_at"] is None
    ]


def plain(value: Any) -> Any:
    """As JSON: instants in UTC, ids as text, bytes never."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items() if not isinstance(v, bytes)}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tzinfo") and hasattr(value, "isoformat"):
        return wire(value) if value.tzinfo is not None else value.isoformat()
    if value is None or isinstance(value, str | int | bool):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def require_copy(row: Any, client: str) -> Any:
    """An export of this very caller. Raises ``NotFound``."""
    if row is None or row["client"] != client:
        raise NotFound()
    return row
