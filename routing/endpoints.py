"""The API of routing: tokens, directory, decisions, turns, settlements, linkages, clocks."""

import hmac
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security.utils import get_authorization_scheme_param

from routing import directory_repository, repository, schemas, test_clock
from routing.directory_import import digest, import_values
from routing.handlers import clocks, linking, settling
from routing.keys import signing_key
from routing.model import Verdict
from routing.rules import RULE_SET, explain, rule_set
from services import problem
from services.access import EVERY_ROLE, AgencyScope
from services.auth import TOKEN_SECONDS, Caller, sign
from services.errors import (
    CaseClosedProblem,
    Conflict,
    CursorInvalid,
    Forbidden,
    IdempotencyInProgress,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    Malformed,
    NotFound,
    Problem,
    Unauthenticated,
    VersionMismatch,
    VersionRequired,
)
from services.http import IfMatch, Reader, Unit, etag, requires, runtime_of
from services.idempotency import Once
from services.paging import Items, Page, Paging
from services.problem import problems
from services.unit_of_work import UnitOfWork

ONCE: tuple[type[Problem], ...] = (
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    IdempotencyInProgress,
    Conflict,
    CaseClosedProblem,
)
VERSIONED: tuple[type[Problem], ...] = (*ONCE, VersionMismatch, VersionRequired)
OrganisationCode = Annotated[str, Path(pattern=r"^[0-9]{6}-[A-Z]{2}-[0-9]{4}$")]
PlaceCode = Annotated[str, Path(pattern=r"^[0-9]{12}([0-9]{3})?$")]


router = APIRouter()


# -- tokens ---------------------------------------------------------------------------------------

_TOKEN_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string", "format": "password"},
                        "scope": {"type": "string", "description": "Fewer scopes, by blanks"},
                    },
                }
            }
        },
    }
}


def _refused(error: str, cause: Problem) -> JSONResponse:
    """A problem that an OAuth client understands as well (RFC 6749, section 5.2)."""
    headers = {"WWW-Authenticate": "Basic"} if cause.status == 401 else {}
    return JSONResponse(
        {**problem.body(cause), "error": error},
        cause.status,
        headers,
        media_type=problem.MEDIA_TYPE,
    )


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """Id and secret by HTTP Basic or in the form."""
    import base64
    from urllib.parse import unquote_plus

    scheme, value = get_authorization_scheme_param(request.headers.get("Authorization"))
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            return "", ""
        return unquote_plus(name), unquote_plus(secret)
    return form.get("client_id", ""), form.get("client_secret", "")


@router.post(
    "/oauth/token",
    response_model=schemas.TokenView,
    responses=problems(),
    openapi_extra=_TOKEN_FORM,
)
async def issue_token(request: Request) -> Any:
    """Give a client a short token for its secret (client credentials, Basic or form)."""
    try:
        raw = parse_qs((await request.body()).decode(), max_num_fields=20)
    except ValueError:
        return _refused("invalid_request", Malformed("the form cannot be read"))
    form = {name: values[0] for name, values in raw.items()}
    if form.get("grant_type") != "client_credentials":
        return _refused(
            "unsupported_grant_type", Malformed("grant_type must be client_credentials")
        )
    runtime = runtime_of(request)
    name, secret = _credentials(request, form)
    row = await directory_repository.client_of(runtime.pool, name) if "\0" not in name else None
    if not hmac.compare_digest(row["secret_sha256"] if row else bytes(32), digest(secret)):
        return _refused("invalid_client", Unauthenticated())
    if row is None:
        return _refused("invalid_client", Unauthenticated())
    scopes = set(form["scope"].split()) if form.get("scope") else set(row["scopes"])
    if not scopes <= set(row["scopes"]):
        return _refused("invalid_scope", Malformed("the client does not have that scope"))
    claims = {
        "sub": row["id"],
        "connection": row["connection"],
        "organisations": row["organisations"],
        "scopes": " ".join(sorted(scopes)),
    }
    answer = {
        "access_token": sign(signing_key(runtime), claims),
        "token_type": "Bearer",
        "expires_in": TOKEN_SECONDS,
        "scope": claims["scopes"],
    }
    return JSONResponse(answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


@router.get("/oauth/jwks", response_model=schemas.KeysView, responses=problems())
async def read_keys(request: Request) -> dict[str, Any]:
    """Read the public keys that verify access tokens."""
    keys = runtime_of(request).directory.all("key").values()
    return {"keys": [key["jwk"] for key in keys if key.get("use") == "token"]}


# -- directory ------------------------------------------------------------------------------------

DirectoryReader = Annotated[Caller, requires("directory:read")]


def _page_of(
    page: Page, values: dict[str, dict[str, Any]], filters: dict[str, Any]
) -> dict[str, Any]:
    """A page of directory values by key, of those that match every filter."""
    after = page.after(filters)
    start = str(after[0]) if after else ""
    wanted = {name: value for name, value in filters.items() if value is not None}
    found = [
        (key, value)
        for key, value in sorted(values.items())
        if key > start and all(value.get(name) == wanted[name] for name in wanted)
    ]
    return page.answer(found[: page.fetch], lambda r: (r[0],), lambda r: r[1], filters)


@router.get(
    "/v1/organisations",
    response_model=Items[schemas.OrganisationView],
    responses=problems(CursorInvalid),
)
async def list_organisations(
    request: Request,
    caller: DirectoryReader,
    page: Paging,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    place: Annotated[str | None, Query(pattern=r"^[0-9]{12}$")] = None,
) -> dict[str, Any]:
    """List organisations by code."""
    values = runtime_of(request).directory.all("organisation")
    return _page_of(page, values, {"kind": kind, "place": place})


@router.get(
    "/v1/organisations/{code}", response_model=schemas.OrganisationView, responses=problems()
)
async def read_organisation(
    request: Request, code: OrganisationCode, caller: DirectoryReader
) -> dict[str, Any]:
    """Read one organisation."""
    return _found(runtime_of(request).directory.organisation(code))


def _found(value: dict[str, Any] | None) -> dict[str, Any]:
    if value is None:
        raise NotFound()
    return value


@router.get(
    "/v1/places", response_model=Items[schemas.PlaceView], responses=problems(CursorInvalid)
)
async def list_places(
    request: Request,
    caller: DirectoryReader,
    page: Paging,
    parent: Annotated[str | None, Query(pattern=r"^[0-9]{12}$")] = None,
    level: Annotated[str | None, Query(max_length=20)] = None,
) -> dict[str, Any]:
    """List places by code."""
    values = runtime_of(request).directory.all("place")
    return _page_of(page, values, {"parent": parent, "level": level})


@router.get("/v1/places/{code}", response_model=schemas.PlaceView, responses=problems())
async def read_place(request: Request, code: PlaceCode, caller: DirectoryReader) -> dict[str, Any]:
    """Read one place."""
    return _found(runtime_of(request).directory.place(code))


@router.get("/v1/calendars/{year}", response_model=schemas.CalendarView, responses=problems())
async def read_calendar(
    request: Request,
    year: Annotated[int, Path(ge=2000, le=2100)],
    caller: DirectoryReader,
) -> dict[str, Any]:
    """Read a year's rest days and make-up working days."""
    return _found(runtime_of(request).directory.calendar(year))


ConnectionReader = Annotated[Caller, requires("connection:read")]


@router.get(
    "/v1/connections",
    response_model=Items[schemas.ConnectionView],
    responses=problems(CursorInvalid),
)
async def list_connections(
    request: Request, caller: ConnectionReader, page: Paging
) -> dict[str, Any]:
    """List connections: the caller's own; an operator sees all."""
    values = runtime_of(request).directory.all("connection")
    if caller.organisations:
        values = {k: v for k, v in values.items() if k == caller.connection}
    return _page_of(page, values, {})


@router.get("/v1/connections/{name}", response_model=schemas.ConnectionView, responses=problems())
async def read_connection(
    request: Request,
    name: Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{2,31}$")],
    caller: ConnectionReader,
) -> dict[str, Any]:
    """Read a connection: the caller's own; an operator any."""
    if caller.organisations and name != caller.connection:
        raise NotFound()
    return _found(runtime_of(request).directory.connection(name))


@router.post(
    "/v1/directory/imports",
    status_code=200,
    response_model=schemas.ImportView,
    responses=problems(),
)
async def import_directory(
    body: schemas.ImportIn,
    caller: Annotated[Caller, requires("directory:write")],
    uow: Unit,
) -> dict[str, Any]:
    """Import organisations, places and calendars; a repeat changes nothing."""
    return await import_values(uow, body.model_dump(mode="json"))


# -- rules and decisions --------------------------------------------------------------------------

DecisionReader = Annotated[Caller, requires("decision:read")]


@router.get("/v1/rule-sets", response_model=schemas.RuleSetsView, responses=problems())
async def list_rule_sets(caller: DecisionReader) -> dict[str, Any]:
    """List rule sets: rules are public, each with its source."""
    return {"items": [rule_set()]}


@router.get("/v1/rule-sets/{version}", response_model=schemas.RuleSetView, responses=problems())
async def read_rule_set(
    version: Annotated[str, Path(max_length=20)], caller: DecisionReader
) -> dict[str, Any]:
    """Read one rule set."""
    if version != RULE_SET:
        raise NotFound()
    return rule_set()


def _decision_view(row: dict[str, Any]) -> dict[str, Any]:
    candidates = []
    for item in row["verdicts"]:
        verdict = Verdict(item["organisation"], tuple(item["failed"]), item["open_cases"])
        zh, en = explain(verdict)
        candidates.append(
            {**item, "competent": verdict.competent, "explanation": {"zh": [zh], "en": [en]}}
        )
    return {
        **row,
        "reasons": {"zh": row["reasons_zh"], "en": row["reasons_en"]},
        "candidates": candidates,
        "decided_at": row["occurred_at"],
    }


@router.get(
    "/v1/decisions",
    response_model=Items[schemas.DecisionView],
    responses=problems(CursorInvalid),
)
async def list_decisions(
    caller: DecisionReader, uow: Reader, page: Paging, case_id: UUID | None = None
) -> dict[str, Any]:
    """List decisions on the caller's cases, oldest first."""
    return await _list(uow, caller, page, "decision", {"case_id": case_id}, _decision_view)


@router.get(
    "/v1/decisions/{decision_id}", response_model=schemas.DecisionView, responses=problems()
)
async def read_decision(decision_id: UUID, caller: DecisionReader, uow: Reader) -> dict[str, Any]:
    """Read why a case went where it went, in sentences, with every body that was looked at."""
    row = await repository.decision_of(uow.db, decision_id)
    return _decision_view(await _mine(uow, caller, row))


@router.post(
    "/v1/decisions/{decision_id}/overrides",
    status_code=201,
    response_model=schemas.DecisionView,
    responses=problems(*ONCE),
)
async def override_decision(
    decision_id: UUID,
    body: schemas.OverrideIn,
    caller: Annotated[Caller, requires("decision:write")],
    uow: Unit,
    once: Once,
) -> dict[str, Any]:
    """Send the case elsewhere, with a ground; that is a decision too, and shown as such.

    Where somebody has a turn it is recalled first; the answer is then the decision as it stands.
    """
    if not once.replayed:
        standing = await settling.override(
            uow, caller, decision_id, organisation=body.organisation, ground=body.ground
        )
        await once.store(201, location=f"/v1/decisions/{standing}", resource_id=str(standing))
    row = await repository.decision_of(uow.db, UUID(once.resource_id))
    return _decision_view(await _mine(uow, caller, row))


# -- turns ----------------------------------------------------------------------------------------

AssignmentWriter = Annotated[Caller, requires("assignment:write")]


async def _list(
    uow: UnitOfWork,
    caller: Caller,
    page: Page,
    table: str,
    filters: dict[str, Any],
    view: Any = dict,
    *,
    own: tuple[str, ...] = (),
    roles: tuple[str, ...] = EVERY_ROLE,
) -> dict[str, Any]:
    """A page of cases in which the caller has one of ``roles``, or of rows naming it in ``own``."""
    scope = " OR ".join(
        [
            AgencyScope(caller).sql("t.case_id", 1, roles),
            *(f"$1 = ANY(t.{c})" for c in own if c[-1] == "s"),
        ]
        + [f"t.{c} = $1" for c in own if c[-1] != "s"]
    )
    rows = await repository.list_rows(
        uow.db,
        table,
        f"({scope})",
        caller.organisation,
        filters,
        page.after_id(filters),
        page.fetch,
    )
    return page.answer(rows, lambda r: (str(r["id"]),), view, filters)


async def _mine(
    uow: UnitOfWork,
    caller: Caller,
    row: dict[str, Any] | None,
    *own: str,
    roles: tuple[str, ...] = EVERY_ROLE,
) -> dict[str, Any]:
    """The row when the caller has one of ``roles`` in its case or is named by it.

    Raises ``NotFound``.
    """
    found = _found(row)
    named = {found[c] for c in own if isinstance(found[c], str)}
    named |= {code for c in own if isinstance(found[c], list) for code in found[c]}
    if caller.organisation not in named or not caller.organisation:
        await AgencyScope(caller).require(uow, found["case_id"], roles)
    return found


@router.get(
    "/v1/assignments",
    response_model=Items[schemas.AssignmentView],
    responses=problems(CursorInvalid),
)
async def list_assignments(
    caller: Annotated[Caller, requires("assignment:read")],
    uow: Reader,
    page: Paging,
    case_id: UUID | None = None,
    organisation: Annotated[str | None, Query(pattern=r"^[0-9]{6}-[A-Z]{2}-[0-9]{4}$")] = None,
    state: Literal["offered", "accepted", "objected", "recalling", "returned", "ended"]
    | None = None,
) -> dict[str, Any]:
    """List turns of the caller's cases, oldest first."""
    filters = {"case_id": case_id, "organisation": organisation, "state": state}
    return await _list(uow, caller, page, "assignment", filters, own=("organisation",))


@router.get(
    "/v1/assignments/{assignment_id}", response_model=schemas.AssignmentView, responses=problems()
)
async def read_assignment(
    assignment_id: UUID,
    caller: Annotated[Caller, requires("assignment:read")],
    uow: Reader,
    response: Response,
) -> dict[str, Any]:
    """Read one turn."""
    row = await repository.turn_of(uow.db, assignment_id)
    found = await _mine(uow, caller, row, "organisation")
    etag(response, found["version"])
    return found


@router.post(
    "/v1/assignments/{assignment_id}/recalls",
    status_code=201,
    response_model=schemas.AssignmentView,
    responses=problems(*ONCE),
)
async def recall_assignment(
    assignment_id: UUID, body: schemas.RecallIn, caller: AssignmentWriter, uow: Unit, once: Once
) -> dict[str, Any]:
    """Take the referral back; mediation ends the turn, the source holds the case again."""
    if not once.replayed:
        await settling.recall(uow, caller, assignment_id, body.ground)
        await once.store(
            201, location=f"/v1/assignments/{assignment_id}", resource_id=str(assignment_id)
        )
    return await _mine(uow, caller, await repository.turn_of(uow.db, assignment_id), "organisation")


@router.post(
    "/v1/assignments/{assignment_id}/objection-decisions",
    status_code=201,
    response_model=schemas.AssignmentView,
    responses=problems(*ONCE),
)
async def decide_objection(
    assignment_id: UUID,
    body: schemas.ObjectionDecisionIn,
    caller: AssignmentWriter,
    uow: Unit,
    once: Once,
) -> dict[str, Any]:
    """Say whether an objection is right: the case goes back, or the body is bound."""
    if not once.replayed:
        await settling.decide_objection(uow, caller, assignment_id, upheld=body.upheld)
        await once.store(
            201, location=f"/v1/assignments/{assignment_id}", resource_id=str(assignment_id)
        )
    return await _mine(uow, caller, await repository.turn_of(uow.db, assignment_id), "organisation")


# -- settlements ----------------------------------------------------------------------------------

ConferenceReader = Annotated[Caller, requires("conference:read")]
# Whom a settlement names: they may read it also without a part in the case.
OF_CONFERENCE = ("members", "convened_by")


@router.post(
    "/v1/conferences",
    status_code=201,
    response_model=schemas.ConferenceView,
    responses=problems(*ONCE),
)
async def settle_case(
    body: schemas.ConferenceIn,
    caller: Annotated[Caller, requires("conference:write")],
    uow: Unit,
    once: Once,
) -> dict[str, Any]:
    """Record a stage of settling who handles a case: agreement, then superior, then conference.

    A lead that is named gets an offer; one that can be bound cannot return it.
    """
    if not once.replayed:
        made = await settling.settle(uow, caller, **body.model_dump())
        await once.store(201, location=f"/v1/conferences/{made['id']}", resource_id=str(made["id"]))
    row = await repository.conference_of(uow.db, UUID(once.resource_id))
    return await _mine(uow, caller, row, *OF_CONFERENCE)


@router.get(
    "/v1/conferences",
    response_model=Items[schemas.ConferenceView],
    responses=problems(CursorInvalid),
)
async def list_conferences(
    caller: ConferenceReader,
    uow: Reader,
    page: Paging,
    case_id: UUID | None = None,
    stage: Literal["agreement", "superior", "conference"] | None = None,
) -> dict[str, Any]:
    """List settlements of the caller's cases, oldest first."""
    filters = {"case_id": case_id, "stage": stage}
    return await _list(uow, caller, page, "conference", filters, own=OF_CONFERENCE)


@router.get(
    "/v1/conferences/{conference_id}", response_model=schemas.ConferenceView, responses=problems()
)
async def read_conference(
    conference_id: UUID, caller: ConferenceReader, uow: Reader
) -> dict[str, Any]:
    """Read one settlement."""
    row = await repository.conference_of(uow.db, conference_id)
    return await _mine(uow, caller, row, *OF_CONFERENCE)


# -- linkages -------------------------------------------------------------------------------------

LinkageReader = Annotated[Caller, requires("linkage:read")]
LinkageWriter = Annotated[Caller, requires("linkage:write")]
# What one body is asked is told to nobody else who merely helps or supervises.
IN_CHARGE = ("source", "handler")


@router.post(
    "/v1/linkages",
    status_code=201,
    response_model=schemas.LinkageView,
    responses=problems(*ONCE),
)
async def request_linkage(
    body: schemas.LinkageIn, caller: LinkageWriter, uow: Unit, once: Once, response: Response
) -> dict[str, Any]:
    """Ask an agency for one thing on a case by a date; it joins the case as linked."""
    if not once.replayed:
        row = await linking.request(uow, caller, **body.model_dump())
        await once.store(201, location=f"/v1/linkages/{row['id']}", resource_id=str(row["id"]))
    return await _linkage(uow, caller, UUID(once.resource_id), response)


async def _linkage(
    uow: UnitOfWork, caller: Caller, linkage_id: UUID, response: Response
) -> dict[str, Any]:
    row = await repository.linkage_of(uow.db, linkage_id)
    found = await _mine(uow, caller, row, "asked", "asked_by", roles=IN_CHARGE)
    etag(response, found["version"])
    return found


@router.get(
    "/v1/linkages", response_model=Items[schemas.LinkageView], responses=problems(CursorInvalid)
)
async def list_linkages(
    caller: LinkageReader,
    uow: Reader,
    page: Paging,
    case_id: UUID | None = None,
    state: Literal["requested", "answered", "cancelled"] | None = None,
) -> dict[str, Any]:
    """List requests for help that the caller asked, answers, or on cases it sent or holds."""
    filters = {"case_id": case_id, "state": state}
    own = ("asked", "asked_by")
    return await _list(uow, caller, page, "linkage", filters, own=own, roles=IN_CHARGE)


@router.get("/v1/linkages/{linkage_id}", response_model=schemas.LinkageView, responses=problems())
async def read_linkage(
    linkage_id: UUID, caller: LinkageReader, uow: Reader, response: Response
) -> dict[str, Any]:
    """Read one request for help."""
    return await _linkage(uow, caller, linkage_id, response)


@router.post(
    "/v1/linkages/{linkage_id}/answers",
    status_code=201,
    response_model=schemas.LinkageView,
    responses=problems(*VERSIONED),
)
async def answer_linkage(
    linkage_id: UUID,
    body: schemas.LinkageAnswerIn,
    caller: LinkageWriter,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Answer a request for help; papers by their hash. The agency leaves the case."""
    if not once.replayed:
        await linking.answer(uow, caller, linkage_id, version=version, **body.model_dump())
        await once.store(201, location=f"/v1/linkages/{linkage_id}", resource_id=str(linkage_id))
    return await _linkage(uow, caller, linkage_id, response)


@router.post(
    "/v1/linkages/{linkage_id}/cancellations",
    status_code=201,
    response_model=schemas.LinkageView,
    responses=problems(*VERSIONED),
)
async def cancel_linkage(
    linkage_id: UUID,
    body: schemas.LinkageCancelIn,
    caller: LinkageWriter,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Say that it is no longer needed. The agency leaves the case."""
    if not once.replayed:
        await linking.cancel(uow, caller, linkage_id, reason=body.reason, version=version)
        await once.store(201, location=f"/v1/linkages/{linkage_id}", resource_id=str(linkage_id))
    return await _linkage(uow, caller, linkage_id, response)


# -- clocks ---------------------------------------------------------------------------------------

ClockReader = Annotated[Caller, requires("clock:read")]
ClockWriter = Annotated[Caller, requires("clock:write")]


@router.get(
    "/v1/clocks", response_model=Items[schemas.ClockView], responses=problems(CursorInvalid)
)
async def list_clocks(
    caller: ClockReader,
    uow: Reader,
    page: Paging,
    case_id: UUID | None = None,
    kind: Literal[
        "acceptance", "term", "confirmation", "ruling", "obligation", "linkage", "settlement"
    ]
    | None = None,
    state: Literal["running", "paused", "fired", "stopped"] | None = None,
) -> dict[str, Any]:
    """List clocks of the caller's cases, oldest first."""
    filters = {"case_id": case_id, "kind": kind, "state": state}
    return await _list(uow, caller, page, "clock", filters)


async def _clock(
    uow: UnitOfWork, caller: Caller, clock_id: UUID, response: Response
) -> dict[str, Any]:
    row = await _mine(uow, caller, await repository.clock_of(uow.db, clock_id))
    etag(response, row["version"])
    return {**row, "pauses": await repository.pauses_of(uow.db, row["id"])}


@router.get("/v1/clocks/{clock_id}", response_model=schemas.ClockView, responses=problems())
async def read_clock(
    clock_id: UUID, caller: ClockReader, uow: Reader, response: Response
) -> dict[str, Any]:
    """Read one clock with its pauses; the original due instant stays visible."""
    return await _clock(uow, caller, clock_id, response)


async def _clock_to_change(
    uow: UnitOfWork, caller: Caller, clock_id: UUID, version: int
) -> dict[str, Any]:
    """The clock of a case whose source or handler the caller is, its case locked."""
    found = _found(await repository.clock_of(uow.db, clock_id))
    held = await AgencyScope(caller).require(uow, found["case_id"])
    if not held & {"source", "handler"}:
        raise Forbidden("only the source and the handler of a case change its clocks")
    return _found(await clocks.load(uow, clock_id, version))


@router.post(
    "/v1/clocks/{clock_id}/pauses",
    status_code=201,
    response_model=schemas.ClockView,
    responses=problems(*VERSIONED),
)
async def pause_clock(
    clock_id: UUID,
    body: schemas.PauseIn,
    caller: ClockWriter,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Let a clock stand still on a ground that its rule lists; other grounds are refused."""
    if not once.replayed:
        row = await _clock_to_change(uow, caller, clock_id, version)
        await clocks.pause(
            uow,
            row,
            ground=body.ground,
            paused_at=body.paused_at or uow.now,
            expected_until=body.expected_until,
            paused_by=caller.organisation,
        )
        await _store_clock(uow, once, row, "clock.paused")
    return await _clock(uow, caller, clock_id, response)


async def _store_clock(uow: UnitOfWork, once: Once, row: dict[str, Any], action: str) -> None:
    uow.audit(action, case_id=row["case_id"], subject=str(row["id"]))
    await once.store(201, location=f"/v1/clocks/{row['id']}", resource_id=str(row["id"]))


@router.post(
    "/v1/clocks/{clock_id}/resumptions",
    status_code=201,
    response_model=schemas.ClockView,
    responses=problems(*VERSIONED),
)
async def resume_clock(
    clock_id: UUID,
    body: schemas.ResumeIn,
    caller: ClockWriter,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Let a paused clock run again; its end moves by the pause."""
    if not once.replayed:
        row = await _clock_to_change(uow, caller, clock_id, version)
        await clocks.resume(uow, row, resumed_at=body.resumed_at or uow.now)
        await _store_clock(uow, once, row, "clock.resumed")
    return await _clock(uow, caller, clock_id, response)


@router.post(
    "/v1/clocks/{clock_id}/extensions",
    status_code=201,
    response_model=schemas.ClockView,
    responses=problems(*VERSIONED),
)
async def extend_clock(
    clock_id: UUID,
    body: schemas.ExtendIn,
    caller: ClockWriter,
    uow: Unit,
    once: Once,
    version: IfMatch,
    response: Response,
) -> dict[str, Any]:
    """Make a clock longer before it is over, as its rule allows, by whom the rule says."""
    if not once.replayed:
        row = await _clock_to_change(uow, caller, clock_id, version)
        await clocks.extend(uow, row, n=body.n, unit=body.unit, agreed_by=body.agreed_by)
        await _store_clock(uow, once, row, "clock.extended")
    return await _clock(uow, caller, clock_id, response)


@router.post(
    "/v1/test-clock/advances",
    status_code=201,
    response_model=schemas.OffsetView,
    responses=problems(IdempotencyKeyMissing, IdempotencyKeyReused, IdempotencyInProgress),
)
async def advance_test_clock(
    body: schemas.AdvanceIn,
    caller: Annotated[Caller, requires("installation:write")],
    uow: Unit,
    once: Once,
) -> dict[str, Any]:
    """Move the clock of a test installation forward for all services; never back."""
    if once.replayed:
        return {"offset_seconds": int(once.resource_id)}
    answer = await test_clock.move(uow, body.seconds)
    await once.store(201, resource_id=str(answer["offset_seconds"]))
    return answer
