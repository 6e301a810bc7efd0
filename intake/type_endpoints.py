"""REST of the type tree: which types of dispute there are, and what each asks for."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from intake import types
from services.auth import Caller
from services.clock import SHANGHAI
from services.errors import NotFound
from services.http import Reader, requires
from services.problem import problems

router = APIRouter()


class DisputeType(BaseModel):
    """One type, its names, its class in other lists, and the JSON Schema of its details."""

    code: str
    zh: str
    en: str
    crosswalk: dict[str, str]
    rules: str
    details_schema: dict[str, Any]


class TypeTree(BaseModel):
    """The types in force on a day."""

    version: int
    valid_from: date
    valid_to: date | None
    source: str
    certainty: str
    types: list[DisputeType]


@router.get(
    "/v1/dispute-types",
    response_model=TypeTree,
    responses=problems(),
    summary="The types of dispute in force on a day, each with its schema",
)
async def read_types(
    caller: Annotated[Caller, requires("case:read")],
    uow: Reader,
    on: Annotated[
        date | None, Query(description="A day in Asia/Shanghai; today when left out")
    ] = None,
) -> Any:
    """A referral keeps the version of the day on which it was received."""
    found = types.in_force(on or uow.now.astimezone(SHANGHAI).date())
    if found is None:
        raise NotFound()
    listed = [{**each, "details_schema": each["schema"]} for each in found["types"]]
    return {**found, "types": listed}
