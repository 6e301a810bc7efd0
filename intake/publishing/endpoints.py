"""Public versions over REST: the parties consent, everybody may read."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request

from intake import repository as cases
from intake.doors.mandates import NOTHING_UNMARKED, UnderMandate, own
from intake.parties.handlers import as_party
from intake.parties.objecting import party_of
from intake.problems import BODY, WRITES
from intake.publishing import handlers, repository
from intake.publishing.schemas import PublicationBody, PublicationConsent, PublicCase
from intake.tracking.follower import Oneself
from services.access import AgencyScope
from services.auth import Caller
from services.errors import Gone, NotFound
from services.http import Unit, requires, runtime_of, within_public_rate
from services.idempotency import Once
from services.problem import problems

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_ROLES = ("source", "handler")


@router.get(
    "/v1/public-cases/{number}",
    response_model=PublicCase,
    responses=problems(),
    summary="The public version of a case",
)
async def read_public_case(number: str, request: Request) -> Any:
    """With every party's consent, when enough cases share what is shown; else it is not there.

    Some reads a second from one address, and a bounded number from all: 429 beyond them.
    """
    settings = runtime_of(request).settings
    await within_public_rate(
        request,
        "public-cases",
        of_one_address=getattr(settings, "public_reads_per_second", 5),
        in_all=getattr(settings, "public_reads_in_all_per_second", 50),
    )
    async with runtime_of(request).unit_of_work(readonly=True) as uow:
        return await handlers.public_case(uow, number)


@router.post(
    "/v1/cases/{case_id}/publication-consents",
    status_code=201,
    response_model=PublicationConsent,
    responses=problems(Gone, *WRITES),
    dependencies=[own("publish")],
    summary="Record that a party lets coarse facts of its case be shown",
)
async def record_consent(
    case_id: UUID,
    body: PublicationBody,
    caller: Annotated[Caller, requires("party:write")],
    uow: Unit,
    once: Once,
) -> Any:
    """At a desk of source or handler; taken back at any time."""
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    if once.replayed:
        row = await repository.one(uow, UUID(once.resource_id))
        if row is None:
            raise NotFound()
        return dict(row)
    party = party_of(await cases.parties(uow, case_id), body.party_id, body.party_ref)
    row = await handlers.consent(uow, case_id, party["party_id"], caller.organisation)
    await once.store(201, location=None, resource_id=str(row["consent_id"]))
    return row


@router.post(
    "/v1/cases/{case_id}/publication-consents/withdrawals",
    response_model=PublicationConsent,
    responses=problems(*BODY),
    summary="Record that a party no longer lets its case be shown",
)
async def record_withdrawal(
    case_id: UUID,
    body: PublicationBody,
    caller: Annotated[Caller, requires("case:leave")],
    uow: Unit,
    mandate_id: UnderMandate = None,
) -> Any:
    """Never refused; a repeat answers the first, so it needs no Idempotency-Key.

    Under a mandate that does not hold it is 422: then only the party itself, or a desk without it.
    """
    await AgencyScope(caller).require(uow, case_id, roles=_ROLES)
    party = party_of(await cases.parties(uow, case_id), body.party_id, body.party_ref)
    return await handlers.withdraw(uow, case_id, party["party_id"], caller.organisation, mandate_id)


@router.post(
    "/v1/party/publication-consents",
    status_code=201,
    response_model=PublicationConsent,
    responses=problems(Gone),
    summary="Let coarse facts of your case be shown to everybody",
)
async def consent_as_party(party: Oneself, uow: Unit) -> Any:
    """Kind, county, months and outcome, once every party has said so; by the party itself."""
    await as_party(uow, party.party_id)
    return await handlers.consent(uow, party.case_id, party.party_id, "party")


@router.post(
    "/v1/party/publication-consents/withdrawals",
    response_model=PublicationConsent,
    responses=problems(),
    summary="No longer let your case be shown",
)
async def withdraw_as_party(party: Oneself, uow: Unit) -> Any:
    """From now on it is not there; never refused."""
    return await handlers.withdraw(uow, party.case_id, party.party_id, "party")
