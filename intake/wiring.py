"""Intake as a value: what it serves, hears, runs and owns."""

from importlib import import_module
from typing import TYPE_CHECKING

from fastapi import APIRouter

from intake import commands, endpoints, repository
from intake.attachments import endpoints as attachments
from intake.attachments import handlers as papers
from intake.attachments import jobs as checks
from intake.consumers import CONSUMES
from intake.exports import endpoints as exports
from intake.exports import making
from intake.keys import publish_keys
from intake.settings import IntakeSettings
from intake.tracking import endpoints as tracking
from intake.tracking import page
from services.service import Loop, Schema, Service

if TYPE_CHECKING:
    from services.runtime import Runtime


ROOMS_WITH_TABLES = ("tracking", "attachments", "exports")


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
    whole = APIRouter()
    for room in (endpoints, tracking, page, attachments, exports):
        whole.include_router(room.router)
    return whole


def _schema() -> Schema:
    from intake.tables import EXTRA_DDL, METADATA

    for room in ROOMS_WITH_TABLES:
        import_module(f"intake.{room}.tables")

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
    jobs={papers.CHECK: checks.check, making.MAKE: making.make},
    loops=(
        Loop("purge-receipt-tries", purge_tries, idle_seconds=300),
        Loop("clear-attachments", checks.clear, idle_seconds=60),
        Loop("clear-exports", making.clear, idle_seconds=60),
    ),
    on_start=publish_keys,
    doctor=doctor,
)
