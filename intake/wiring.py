"""Intake as a value: what it serves, hears, runs and owns."""

from typing import TYPE_CHECKING

from fastapi import APIRouter

from intake import commands, repository
from intake.consumers import CONSUMES
from intake.duplicates import wiring as duplicates
from intake.endpoints import router
from intake.keys import publish_keys
from intake.search.endpoints import router as search_router
from intake.settings import IntakeSettings
from services.service import Loop, Schema, Service

if TYPE_CHECKING:
    from services.runtime import Runtime


async def purge_tries(runtime: "Runtime") -> int:
    """Forget wrong tries whose lock is over."""
    seconds = getattr(runtime.settings, "receipt_lock_seconds", 900)
    await repository.purge_tries(runtime.pool, window_seconds=seconds)
    return 0


async def doctor(runtime: "Runtime") -> list[str]:
    """What is wrong with cases, and what to do."""
    async with runtime.unit_of_work(
        readonly=True
    ) as uow:  # row-level security hides the vault else
        wrongs = await repository.wrongs(uow.db)
    return [
        f"{count} x {name.replace('_', ' ')}: {_ADVICE[name]}"
        for name, count in wrongs.items()
        if count
    ]


_ADVICE = {
    "open_without_clock": "routing may be behind or parked; look at `liandiao lag`, `parked list`",
    "round_differs": "the file and the stream disagree about the round; restore intake's database",
    "party_without_vault": "a party has no vault row; restore intake's database",
}


def _router() -> APIRouter:
    """The endpoints of every room."""
    whole = APIRouter()
    for room in (search_router, duplicates.router, router):
        whole.include_router(room)
    return whole


def _schema() -> Schema:
    import intake.duplicates.tables  # noqa: F401  # adds its tables to the metadata
    from intake.tables import EXTRA_DDL, METADATA

    return Schema(METADATA, EXTRA_DDL)


INTAKE = Service(
    name="intake",
    title="intake",
    description="The front door: referrals, cases, parties, receipts, the case file and timeline",
    router=_router,
    settings=IntakeSettings,
    schema=_schema,
    gather_seconds=0.1,
    consumes=CONSUMES,
    commands={
        "referral.submit": commands.submit,
        "referral.amend": commands.amend,
        "case.leave": commands.leave,
    },
    answers_unknown_commands=True,
    jobs=duplicates.JOBS,
    loops=(Loop("purge-receipt-tries", purge_tries, idle_seconds=300), *duplicates.LOOPS),
    on_start=publish_keys,
    doctor=doctor,
)
