"""Intake as a value: what it serves, hears, runs and owns."""

from typing import TYPE_CHECKING

from fastapi import APIRouter

from intake import commands, repository
from intake.consumers import CONSUMES
from intake.endpoints import router
from intake.keys import publish_keys
from intake.parties.endpoints import router as parties_router
from intake.rights import erasing, keeping
from intake.rights.endpoints import router as rights_router
from intake.safety import repository as safety
from intake.safety.endpoints import router as safety_router
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
        wrongs["alert_unheard"] = await safety.unheard_alerts(uow.db, seconds=ALERT_HEARD_SECONDS)
    return [
        f"{count} x {name.replace('_', ' ')}: {_ADVICE[name]}"
        for name, count in wrongs.items()
        if count
    ]


# Routing asks the police within seconds; later than this nobody has been asked.
ALERT_HEARD_SECONDS = 60
_ADVICE = {
    "alert_unheard": "no police have been asked: call them (110), then see whether routing runs and"
    " whether the directory has police for the place",
    "open_without_clock": "routing may be behind or parked; look at `liandiao lag`, `parked list`",
    "round_differs": "the file and the stream disagree about the round; restore intake's database",
    "party_without_vault": "a party has no vault row; restore intake's database",
}


def _router() -> APIRouter:
    """The endpoints of every room."""
    whole = APIRouter()
    for room in (router, parties_router, safety_router, rights_router):
        whole.include_router(room)
    return whole


def _schema() -> Schema:
    from intake.parties.tables import EXTRA_DDL as PARTIES_DDL
    from intake.rights.tables import EXTRA_DDL as RIGHTS_DDL
    from intake.safety.tables import EXTRA_DDL as SAFETY_DDL
    from intake.tables import EXTRA_DDL, METADATA

    return Schema(METADATA, (*EXTRA_DDL, *PARTIES_DDL, *SAFETY_DDL, *RIGHTS_DDL))


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
    jobs={erasing.FORGET: erasing.forget},
    loops=(
        Loop("purge-receipt-tries", purge_tries, idle_seconds=300),
        Loop("intake.retention", keeping.sweep, idle_seconds=60),
        Loop("intake.limitation", erasing.sweep_limitation, idle_seconds=300),
    ),
    on_start=publish_keys,
    doctor=doctor,
)
