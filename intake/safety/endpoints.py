"""REST of screening and alerts: private answers in, what they change out."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from intake import repository as cases
from intake import views
from intake.doors.mandates import NOTHING_UNMARKED, own
from intake.keys import keys_of
from intake.parties.handlers import as_party
from intake.parties.objecting import party_of
from intake.problems import BODY, WRITES
from intake.safety import handlers, repository, rules, schemas
from intake.schemas import Purpose
from intake.tracking.follower import Oneself
from services.access import AgencyScope
from services.auth import Caller
from services.errors import CaseClosedProblem, Conflict, NotFound
from services.http import Reader, Unit, requires
from services.idempotency import Once
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_ROLES = ("source", "handler")
_SHOWN = ("name", "phone", "address", "role", "ref", "representatives", "safe_only", "safe_note")


@router.get(
    "/v1/screening-forms",
    response_model=schemas.ScreeningForms,
    responses=problems(),
    summary="The questions of the safety screen, as they are read out",
)
async def read_forms(caller: Annotated[Caller, requires("case:read")]) -> Any:
    """In Chinese and English, to be answered yes, no or not said, by phone too."""
    return {
        "forms": [
            {
                "version": form["version"],
                "before": form["before"],
                "questions": [
                    {name: q[name] for name in ("code", "zh", "en")} for q in form["questions"]
                ],
            }
            for form in rules.data()["forms"]
        ]
    }


@router.post(
    "/v1/cases/{case_id}/screenings",
    status_code=201,
    response_model=schemas.ScreeningView,
    responses=problems(CaseClosedProblem, *WRITES),
    dependencies=[own("screen")],
    summary="Record a party's private answers about its safety",
)
async def screen(
    case_id: UUID,
    body: schemas.ScreeningBody,
    caller: Annotated[Caller, requires("party:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """Sealed at once; what follows for handling is answered and travels, the answers never."""
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    if once.replayed:
        return _view(await _screening(uow, UUID(once.resource_id)))
    party = party_of(await cases.parties(uow, case_id), body.party_id, body.party_ref)
    id_ = await handlers.screen(
        uow,
        case_id,
        party,
        handlers.Screening(
            body.form_version,
            dict(body.answers),
            body.channel,
            body.safe_contact.model_dump(exclude_none=True) if body.safe_contact else None,
            body.confirmed_by,
        ),
        occurred_at=body.occurred_at,
    )
    await once.store(201, location=f"/v1/cases/{case_id}/screenings", resource_id=str(id_))
    return _view(await _screening(uow, id_))


@router.post(
    "/v1/party/screenings",
    status_code=201,
    response_model=schemas.ScreeningView,
    responses=problems(CaseClosedProblem, *BODY),
    summary="Answer the questions about your safety yourself",
)
async def screen_oneself(body: schemas.OwnScreeningBody, party: Oneself, uow: Unit) -> Any:
    """It can add protection and never takes any away: an answer may be forced."""
    await as_party(uow, party.party_id)
    people = await cases.parties(uow, party.case_id)
    id_ = await handlers.screen(
        uow,
        party.case_id,
        party_of(people, party.party_id, None),
        handlers.Screening(
            body.form_version,
            dict(body.answers),
            "online",
            body.safe_contact.model_dump(exclude_none=True) if body.safe_contact else None,
        ),
        occurred_at=None,
    )
    return _view(await _screening(uow, id_))


@router.get(
    "/v1/cases/{case_id}/screenings",
    response_model=schemas.Screenings,
    responses=problems(),
    summary="What the safety screens of a case changed",
)
async def list_screenings(
    case_id: UUID,
    caller: Annotated[Caller, requires("party:read")],
    uow: Unit,
    purpose: Annotated[
        Purpose | None, Query(description="State one to see the answers you recorded; logged")
    ] = None,
) -> Any:
    """Consequences for source and handler; the answers for a purpose, only to who asked them."""
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    rows = await repository.screenings(uow, case_id)
    own = [r for r in rows if purpose is not None and r["organisation"] == caller.organisation]
    if own:
        uow.audit(
            "screening.read",
            case_id=case_id,
            purpose=purpose,
            detail={"parties": sorted({str(row["party_id"]) for row in own})},
        )
    keys = keys_of(uow.runtime)
    answers = {row["screening_id"]: handlers.opened(keys, row)["answers"] for row in own}
    return {
        "case_id": case_id,
        "items": [_view(row, answers.get(row["screening_id"])) for row in rows],
    }


@router.get(
    "/v1/cases/{case_id}/alerts",
    response_model=schemas.Alerts,
    responses=problems(),
    summary="Whom the alerts of a case asked, and what became of them",
)
async def list_alerts(
    case_id: UUID, caller: Annotated[Caller, requires("party:read")], uow: Reader
) -> Any:
    """For source, handler and the police that were asked; nothing of what was said."""
    held = await AgencyScope(caller).require(uow, case_id, roles=(*_ROLES, "linked"))
    rows = await repository.alerts(uow, case_id)
    if not held & set(_ROLES):
        rows = [row for row in rows if row["asked"] == caller.organisation]
    return {"case_id": case_id, "items": [_alert(row) for row in rows]}


@router.get(
    "/v1/alerts/{alert_id}",
    response_model=schemas.AlertOpened,
    responses=problems(),
    summary="What an alert is about, for a purpose",
)
async def read_alert(
    alert_id: UUID,
    purpose: Purpose,
    caller: Annotated[Caller, requires("party:read")],
    uow: Unit,
) -> Any:
    """For the police that were asked and for who raised it; logged, and shown to the party."""
    row = await _own_alert(uow, alert_id, caller)
    keys = keys_of(uow.runtime)
    rows = await cases.contacts(uow, [row["party_id"]])
    about = await views.around(uow, keys, rows)
    found = views.contact_view(keys, rows[0], about)
    uow.audit(
        "alert.read",
        case_id=row["case_id"],
        subject=str(alert_id),
        purpose=purpose,
        detail={"parties": [str(row["party_id"])]},
    )
    said, kind = handlers.ground_of(keys, row), rules.data()["alerts"][row["kind"]]
    return {
        **_alert(row),
        "kind": row["kind"],
        **said,
        "what_to_do_zh": kind["zh"],
        "what_to_do_en": kind["en"],
        "party": {name: found.get(name) for name in _SHOWN},
    }


@router.post(
    "/v1/alerts/{alert_id}/dismissals",
    status_code=201,
    response_model=schemas.DismissalView,
    responses=problems(Conflict, *WRITES),
    summary="Say that there is nothing in an alert: two people, never one",
)
async def dismiss(
    alert_id: UUID,
    body: schemas.DismissalBody,
    caller: Annotated[Caller, requires("party:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """The first call proposes, a second by another member of the staff (`Acted-By`) dismisses."""
    row = await _own_alert(uow, alert_id, caller, raiser_only=True)
    if not once.replayed:
        await handlers.dismiss(uow, row, body.ground)
        await once.store(201, location=f"/v1/alerts/{alert_id}", resource_id=str(alert_id))
    return _alert(await repository.alert(uow, alert_id))


async def _own_alert(
    uow: UnitOfWork, alert_id: UUID, caller: Caller, *, raiser_only: bool = False
) -> Any:
    """The alert, for who raised it and for the police that were asked. Raises ``NotFound``."""
    row = await repository.alert(uow, alert_id)
    may = () if row is None else (row["raised_by"], None if raiser_only else row["asked"])
    if row is None or caller.organisation not in may:
        raise NotFound()
    await AgencyScope(caller).require(uow, row["case_id"], roles=(*_ROLES, "linked"))
    return row


async def _screening(uow: UnitOfWork, screening_id: UUID) -> Any:
    row = await repository.screening(uow, screening_id)
    if row is None:
        raise NotFound()
    return row


def _view(row: Any, answers: dict[str, str] | None = None) -> dict[str, Any]:
    return {**dict(row), "party_ref": row["ref"], "answers": answers}


def _alert(row: Any) -> dict[str, Any]:
    return {**dict(row), "dismissal_proposed": row["proposed_by"] is not None}
