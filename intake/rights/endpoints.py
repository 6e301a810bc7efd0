"""REST of a person's rights: the party's own, and what the bodies of its case do for it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from intake import repository as cases
from intake.doors.mandates import NOTHING_UNMARKED, own
from intake.keys import keys_of
from intake.parties.handlers import as_party
from intake.parties.objecting import party_of
from intake.problems import BODY, WRITES
from intake.rights import erasing, handlers, keeping, repository, schemas, views
from intake.schemas import Purpose
from intake.tracking.follower import Follower, Oneself
from services.access import AgencyScope
from services.auth import Caller
from services.errors import Conflict, Gone, NotFound
from services.http import Reader, Unit, requires
from services.idempotency import Once
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_ROLES = ("source", "handler")


# -- correction ----------------------------------------------------------------------------------


@router.post(
    "/v1/party/correction-requests",
    status_code=201,
    response_model=schemas.CorrectionRequest,
    responses=problems(*BODY),
    summary="Ask that your data be put right",
)
async def ask_correction(body: schemas.CorrectionWish, party: Oneself, uow: Unit) -> Any:
    """The body that sent the referral decides, and says why when it refuses."""
    await as_party(uow, party.party_id)
    id_ = await handlers.ask_correction(uow, party, body.member, body.value, body.reason)
    return views.request(await _one(uow, handlers.REQUEST, id_), keys_of(uow.runtime))


@router.get(
    "/v1/party/correction-requests",
    response_model=schemas.CorrectionRequests,
    responses=problems(),
    summary="What you asked to have put right, and what was decided",
)
async def own_requests(party: Oneself, uow: Reader) -> Any:
    """With the reasons of a refusal."""
    await as_party(uow, party.party_id)
    rows = await repository.of_case(uow, handlers.REQUEST, party.case_id, party.party_id)
    keys = keys_of(uow.runtime)
    return {"case_id": party.case_id, "items": [views.request(row, keys) for row in rows]}


@router.get(
    "/v1/cases/{case_id}/correction-requests",
    response_model=schemas.CorrectionRequests,
    responses=problems(),
    summary="What the parties ask to have put right",
)
async def list_requests(
    case_id: UUID,
    caller: Annotated[Caller, requires("party:read")],
    uow: Unit,
    purpose: Annotated[
        Purpose | None, Query(description="State one to see what they wish; it is logged")
    ] = None,
) -> Any:
    """For the source; the wishes for a purpose."""
    await AgencyScope(caller).require(uow, case_id, roles=("source",))
    rows = await repository.of_case(uow, handlers.REQUEST, case_id)
    if purpose is not None:
        uow.audit(
            "correction-requests.read",
            case_id=case_id,
            purpose=purpose,
            detail={"parties": sorted({str(row["party_id"]) for row in rows})},
        )
    keys = keys_of(uow.runtime) if purpose is not None else None
    return {"case_id": case_id, "items": [views.request(row, keys) for row in rows]}


@router.post(
    "/v1/correction-requests/{request_id}/decisions",
    status_code=201,
    response_model=schemas.CorrectionRequest,
    responses=problems(Conflict, Gone, *WRITES),
    summary="Decide what a party asked to have put right",
)
async def decide_correction(
    request_id: UUID,
    body: schemas.CorrectionDecision,
    caller: Annotated[Caller, requires("referral:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """Accepted: the referral is corrected in the same transaction. Refused: the party reads why."""
    row = await _one(uow, handlers.REQUEST, request_id)
    await AgencyScope(caller).require(uow, row["case_id"], roles=("source",))
    if not once.replayed:
        await handlers.decide_correction(
            uow, caller, row, accepted=body.accepted, reason=body.reason
        )
        await once.store(201, location=None, resource_id=str(request_id))
    return views.request(await _one(uow, handlers.REQUEST, request_id), None)


# -- the copy ------------------------------------------------------------------------------------


@router.post(
    "/v1/party/copies",
    status_code=201,
    response_model=schemas.PartyCopy,
    responses=problems(),
    summary="A copy of everything that is kept of you here",
)
async def make_copy(party: Oneself, uow: Unit) -> Any:
    """Machine-readable, made at once, kept nowhere; the making stands in the access log."""
    return await handlers.copy(uow, party)


# -- ask once ------------------------------------------------------------------------------------


@router.post(
    "/v1/party/sharing-consents",
    status_code=201,
    response_model=schemas.SharingConsent,
    responses=problems(*BODY),
    summary="Let another agency use papers you have given already",
)
async def share(body: schemas.SharingBody, party: Oneself, uow: Unit) -> Any:
    """Ask once: for a purpose and for a time, taken back by one call."""
    id_ = await handlers.share(uow, party.case_id, party.party_id, _sharing(body), told_by="party")
    return await _one(uow, "sharing_consent", id_)


@router.get(
    "/v1/party/sharing-consents",
    response_model=schemas.SharingConsents,
    responses=problems(),
    summary="Who may use your papers",
)
async def own_consents(party: Follower, uow: Reader) -> Any:
    """Your ledger: to whom, what, for what, until when."""
    rows = await repository.of_case(uow, "sharing_consent", party.case_id, party.party_id)
    return {"case_id": party.case_id, "items": rows}


@router.post(
    "/v1/party/sharing-consents/{consent_id}/withdrawals",
    status_code=201,
    response_model=schemas.SharingConsent,
    responses=problems(),
    summary="Take a consent back",
)
async def withdraw_own(consent_id: UUID, party: Oneself, uow: Unit) -> Any:
    """At once, no reason asked; a repeat answers the first result."""
    row = await _one(uow, "sharing_consent", consent_id)
    if row["party_id"] != party.party_id:
        raise NotFound()
    await handlers.withdraw(uow, row)
    return await _one(uow, "sharing_consent", consent_id)


@router.post(
    "/v1/cases/{case_id}/sharing-consents",
    status_code=201,
    response_model=schemas.SharingConsent,
    responses=problems(*WRITES),
    dependencies=[own("share")],
    summary="Record that a party lets another agency use its papers",
)
async def share_at_desk(
    case_id: UUID,
    body: schemas.SharingByDesk,
    caller: Annotated[Caller, requires("party:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """Said at a desk or on the phone; the party sees it in its ledger and may take it back."""
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    if once.replayed:
        return await _one(uow, "sharing_consent", UUID(once.resource_id))
    party = party_of(await cases.parties(uow, case_id), body.party_id, body.party_ref)
    id_ = await handlers.share(
        uow, case_id, party["party_id"], _sharing(body), told_by="organisation"
    )
    await once.store(201, location=None, resource_id=str(id_))
    return await _one(uow, "sharing_consent", id_)


@router.get(
    "/v1/cases/{case_id}/sharing-consents",
    response_model=schemas.SharingConsents,
    responses=problems(),
    summary="Who may use which papers of the case",
)
async def list_consents(
    case_id: UUID, caller: Annotated[Caller, requires("case:read")], uow: Reader
) -> Any:
    """All of them for source and handler; for the others those that name them."""
    held = await AgencyScope(caller).require(uow, case_id)
    rows = await repository.of_case(uow, "sharing_consent", case_id)
    if not held & set(_ROLES):
        rows = [row for row in rows if row["agency"] == caller.organisation]
    return {"case_id": case_id, "items": rows}


@router.get(
    "/v1/cases/{case_id}/paper-uses",
    response_model=schemas.PaperUse,
    responses=problems(),
    summary="Whether you may use a paper that was given to another agency",
)
async def may_use(
    case_id: UUID,
    purpose: schemas.Purpose,
    sha256: Annotated[str, Query(pattern="^[0-9a-f]{64}$")],
    caller: Annotated[Caller, requires("case:read")],
    uow: Reader,
) -> Any:
    """For this purpose and now, by the party's consent."""
    await AgencyScope(caller).require(uow, case_id)
    found = await repository.may_use(uow, case_id, caller.organisation, sha256, purpose)
    return {"allowed": found is not None, "consent_id": found}


def _sharing(body: schemas.SharingBody) -> handlers.Sharing:
    return handlers.Sharing(
        body.agency, tuple(body.papers), body.purpose, body.valid_until, body.sensitive
    )


# -- how long it is kept -------------------------------------------------------------------------


@router.get(
    "/v1/cases/{case_id}/retention",
    response_model=schemas.RetentionView,
    responses=problems(),
    summary="How long the file is kept, and why",
)
async def read_retention(
    case_id: UUID, caller: Annotated[Caller, requires("case:read")], uow: Reader
) -> Any:
    """Class, end and law."""
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    return await keeping.kept(uow, await _case(uow, case_id))


@router.post(
    "/v1/cases/{case_id}/retention",
    status_code=201,
    response_model=schemas.RetentionView,
    responses=problems(*WRITES),
    summary="Put the file into another retention class",
)
async def classify(
    case_id: UUID,
    body: schemas.RetentionBody,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """By content and parties (人民调解法 27: D-16); counted from closing."""
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    if not once.replayed:
        await keeping.classify(uow, case_id, body.retention_class, body.ground)
        await once.store(201, location=f"/v1/cases/{case_id}/retention", resource_id=str(case_id))
    return await keeping.kept(uow, await _case(uow, case_id))


@router.post(
    "/v1/cases/{case_id}/holds",
    status_code=201,
    response_model=schemas.HoldView,
    responses=problems(*WRITES),
    summary="Let nothing of the file be erased",
)
async def hold(
    case_id: UUID,
    body: schemas.HoldBody,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """A legal hold: for a lawsuit, an investigation, a complaint, an inspection."""
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    if once.replayed:
        return await _one(uow, "legal_hold", UUID(once.resource_id))
    id_ = await keeping.hold(uow, case_id, body.ground, body.occurred_at)
    await once.store(201, location=None, resource_id=str(id_))
    return await _one(uow, "legal_hold", id_)


@router.post(
    "/v1/holds/{hold_id}/liftings",
    status_code=201,
    response_model=schemas.HoldView,
    responses=problems(*WRITES),
    summary="The hold is over",
)
async def lift(
    hold_id: UUID, caller: Annotated[Caller, requires("case:write")], uow: Unit, once: Once
) -> Any:
    """By the body that set it."""
    row = await _one(uow, "legal_hold", hold_id)
    await AgencyScope(caller).require(uow, row["case_id"], roles=_ROLES)
    if row["organisation"] != caller.organisation:
        raise NotFound()
    if not once.replayed:
        await keeping.lift(uow, row)
        await once.store(201, location=None, resource_id=str(hold_id))
    return await _one(uow, "legal_hold", hold_id)


# -- erasure -------------------------------------------------------------------------------------


@router.post(
    "/v1/party/erasures",
    status_code=201,
    response_model=schemas.ErasureView,
    responses=problems(*BODY),
    summary="Ask that your data be erased",
)
async def ask_erasure(body: schemas.ErasureByParty, party: Oneself, uow: Unit) -> Any:
    """On a ground of the law; the body that sent the referral decides."""
    id_ = await erasing.ask(uow, party.case_id, party.party_id, body.ground, by="party")
    return await _erasure(uow, id_)


@router.get(
    "/v1/party/erasures",
    response_model=schemas.Erasures,
    responses=problems(),
    summary="What became of your requests to erase",
)
async def own_erasures(party: Follower, uow: Reader) -> Any:
    """With the ground of a refusal."""
    return await _erasures(uow, party.case_id, party.party_id)


@router.post(
    "/v1/cases/{case_id}/erasures",
    status_code=201,
    response_model=schemas.ErasureView,
    responses=problems(*WRITES),
    summary="Propose to erase a party's data, or the whole file",
)
async def propose_erasure(
    case_id: UUID,
    body: schemas.ErasureByDesk,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """Nothing is erased yet: another member of the staff decides (`Acted-By`)."""
    await AgencyScope(caller).require(uow, case_id, roles=("source",))
    if once.replayed:
        return await _erasure(uow, UUID(once.resource_id))
    party_id = None
    if body.party_id is not None or body.party_ref is not None:
        people = await cases.parties(uow, case_id)
        party_id = party_of(people, body.party_id, body.party_ref)["party_id"]
    id_ = await erasing.ask(uow, case_id, party_id, body.ground, by="organisation")
    await once.store(201, location=f"/v1/erasures/{id_}", resource_id=str(id_))
    return await _erasure(uow, id_)


@router.get(
    "/v1/cases/{case_id}/erasures",
    response_model=schemas.Erasures,
    responses=problems(),
    summary="What was erased of the case, and what is proposed",
)
async def list_erasures(
    case_id: UUID, caller: Annotated[Caller, requires("case:read")], uow: Reader
) -> Any:
    """For the source."""
    await AgencyScope(caller).require(uow, case_id, roles=("source",))
    return await _erasures(uow, case_id, None)


@router.get(
    "/v1/erasures/{erasure_id}",
    response_model=schemas.ErasureView,
    responses=problems(),
    summary="An erasure and its certificate",
)
async def read_erasure(
    erasure_id: UUID, caller: Annotated[Caller, requires("case:read")], uow: Reader
) -> Any:
    """On what ground, who approved, what each service removed and when."""
    row = await _one(uow, "erasure", erasure_id)
    await AgencyScope(caller).require(uow, row["case_id"], roles=("source",))
    return await _erasure(uow, erasure_id)


@router.post(
    "/v1/erasures/{erasure_id}/decisions",
    status_code=201,
    response_model=schemas.ErasureView,
    responses=problems(Conflict, *WRITES),
    summary="Approve or refuse an erasure",
)
async def decide_erasure(
    erasure_id: UUID,
    body: schemas.ErasureDecision,
    caller: Annotated[Caller, requires("case:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """By another person than who asked. Approved, the data are gone when the answer comes."""
    row = await _one(uow, "erasure", erasure_id)
    await AgencyScope(caller).require(uow, row["case_id"], roles=("source",))
    if not once.replayed:
        await erasing.decide(uow, row, approved=body.approved, refusal=body.refusal)
        await once.store(201, location=f"/v1/erasures/{erasure_id}", resource_id=str(erasure_id))
    return await _erasure(uow, erasure_id)


async def _erasure(uow: UnitOfWork, erasure_id: UUID) -> Any:
    row = await _one(uow, "erasure", erasure_id)
    return views.erasure(row, (await _case(uow, row["case_id"]))["case_number"])


async def _erasures(uow: UnitOfWork, case_id: UUID, party_id: UUID | None) -> Any:
    number = (await _case(uow, case_id))["case_number"]
    rows = await repository.of_case(uow, "erasure", case_id, party_id)
    return {"case_id": case_id, "items": [views.erasure(row, number) for row in rows]}


async def _case(uow: UnitOfWork, case_id: UUID) -> Any:
    case = await cases.case(uow, case_id)
    if case is None:
        raise NotFound()
    return case


async def _one(uow: UnitOfWork, table: str, id_: UUID) -> Any:
    row = await repository.one(uow, table, id_)
    if row is None:
        raise NotFound()
    return row
