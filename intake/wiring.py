"""Intake as a value: what it serves, hears, runs and owns."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from intake import commands, repository
from intake.attachments import handlers as papers
from intake.attachments import jobs as checks
from intake.attachments.endpoints import router as attachments
from intake.consumers import CONSUMES
from intake.doors.endpoints import router as doors
from intake.duplicates import wiring as duplicates
from intake.endpoints import router as front_door
from intake.exports import making
from intake.exports.endpoints import router as exports
from intake.gates.endpoints import router as gates
from intake.imports import wiring as imports
from intake.incidents.endpoints import router as incidents
from intake.keys import publish_keys
from intake.linking.endpoints import router as linking
from intake.matters.endpoints import router as matters
from intake.matters.handlers import deliver
from intake.matters.overdue import tell_missed
from intake.matters.repository import undelivered
from intake.notices.endpoints import router as notices
from intake.parties.endpoints import router as parties
from intake.places.endpoints import router as places
from intake.publishing.endpoints import router as publishing
from intake.reconciliation.endpoints import router as reconciliation
from intake.records import handlers as recorded
from intake.records import keeping as record_keeping
from intake.records.endpoints import router as records
from intake.rights import erasing, keeping
from intake.rights.endpoints import router as rights
from intake.rounds.endpoints import router as rounds
from intake.safety import repository as safety
from intake.safety.endpoints import router as safety_screen
from intake.search.endpoints import router as search
from intake.settings import IntakeSettings
from intake.tracking.endpoints import router as tracking
from intake.tracking.page import router as page
from intake.type_endpoints import router as types
from intake.withdrawals import handlers as withdrawals
from intake.withdrawals.endpoints import router as withdrawn
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
        wrongs["matter_without_organ"] = await undelivered(uow.db)
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
    "matter_without_organ": "give an organisation the role discipline (or convenor) for the place",
    "party_without_vault": "a party has no vault row; restore intake's database",
}


# Each room's endpoints, one line each.
ROOMS: Final = (
    gates,  # before the front door: /v1/referrals/checks
    search,
    duplicates.router,
    front_door,
    imports.router,
    incidents,
    linking,
    matters,
    notices,
    parties,
    places,
    publishing,
    reconciliation,
    records,
    safety_screen,
    tracking,
    page,
    doors,
    rounds,
    rights,
    types,
    attachments,
    exports,
    withdrawn,
)
ROOMS_WITH_TABLES: Final = (
    "attachments",
    "doors",
    "duplicates",
    "exports",
    "gates",
    "imports",
    "incidents",
    "linking",
    "matters",
    "notices",
    "parties",
    "publishing",
    "reconciliation",
    "records",
    "rights",
    "rounds",
    "safety",
    "tracking",
    "withdrawals",
)


def _schema() -> Schema:
    from intake.tables import EXTRA_DDL, METADATA

    extra = list(EXTRA_DDL)
    for room in ROOMS_WITH_TABLES:
        extra += getattr(import_module(f"intake.{room}.tables"), "EXTRA_DDL", ())
    return Schema(METADATA, tuple(extra))


INTAKE = Service(
    name="intake",
    title="intake",
    description="The front door: referrals, cases, parties, receipts, the case file and timeline",
    routers=lambda: ROOMS,
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
    jobs={
        erasing.FORGET: erasing.forget,
        papers.CHECK: checks.check,
        making.MAKE: making.make,
        **duplicates.JOBS,
    },
    loops=(
        Loop("purge-receipt-tries", purge_tries, idle_seconds=300),
        Loop("deliver-matters", deliver, idle_seconds=60),
        Loop("intake.missed-answers", tell_missed, idle_seconds=30),
        Loop("clear-attachments", checks.clear, idle_seconds=60),
        Loop("clear-exports", making.clear, idle_seconds=60),
        Loop("intake.retention", keeping.sweep, idle_seconds=60),
        Loop("intake.limitation", erasing.sweep_limitation, idle_seconds=300),
        Loop("intake.records", record_keeping.sweep, idle_seconds=60),
        Loop("intake.record-limitation", recorded.sweep_limitation, idle_seconds=300),
        Loop("intake.withdrawals", withdrawals.sweep, idle_seconds=60),
        *duplicates.LOOPS,
        *imports.LOOPS,
    ),
    streams=imports.STREAMS,
    on_start=publish_keys,
    doctor=doctor,
)
