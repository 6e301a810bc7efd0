"""Place suggestions over REST; the address is in the body, since it may be somebody's home."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from intake.doors.mandates import NOTHING_UNMARKED
from intake.places.handlers import suggested
from intake.schemas import Body
from services.auth import Caller
from services.calendar import day_of
from services.errors import TooLarge, UnsupportedMediaType
from services.http import Reader, requires
from services.problem import problems

router = APIRouter(dependencies=[NOTHING_UNMARKED])


class AddressBody(Body):
    """An address in words, and the day of the event (today, when left out)."""

    address: str = Field(min_length=1, max_length=300)
    on: date | None = None


class CandidateView(BaseModel):
    """A place that may be meant; ``instead_of`` is the abolished code it stands for."""

    code: str
    name: str
    path: str
    instead_of: str | None


class SuggestionView(BaseModel):
    """``place`` is the one that is meant, or the county's desk when it is not clear."""

    place: str
    county_desk: bool
    candidates: list[CandidateView]


@router.post(
    "/v1/place-suggestions",
    response_model=SuggestionView,
    responses=problems(TooLarge, UnsupportedMediaType),
    summary="The place code of an address on a day; nothing is written",
)
async def suggest_place(
    body: AddressBody, caller: Annotated[Caller, requires("referral:write")], uow: Reader
) -> Any:
    """By the division tree of that day; an unknown address goes to the county, never lost."""
    found = suggested(
        uow.runtime,
        body.address,
        organisation=caller.organisation,
        on=body.on or day_of(uow.now),
    )
    return {
        "place": found.place,
        "county_desk": found.county_desk,
        "candidates": [vars(each) for each in found.candidates],
    }
