"""Mediation as a value."""

from typing import Final

from mediation.access_log import router as access_log
from mediation.agreement.endpoints import router as agreements
from mediation.commands import COMMANDS
from mediation.confirmation.endpoints import router as confirmations
from mediation.consumers import CONSUMES
from mediation.doctor import doctor, due_without_clock, open_items
from mediation.jobs import JOBS
from mediation.mediator.endpoints import router as mediators
from mediation.obligation.endpoints import router as obligations
from mediation.proceeding.endpoints import router as proceedings
from mediation.queue.endpoints import router as queue
from mediation.session.endpoints import router as sessions
from mediation.settings import MediationSettings
from services.service import Schema, Service

NOUNS: Final = (
    queue,
    mediators,
    proceedings,
    sessions,
    agreements,
    obligations,
    confirmations,
    access_log,
)


def _schema() -> Schema:
    from mediation.tables import EXTRA_DDL, METADATA

    return Schema(METADATA, EXTRA_DDL)


MEDIATION: Final = Service(
    name="mediation",
    title="Mediation",
    description="The work: queues, mediators, consent, sessions, agreements, performance.",
    routers=lambda: NOUNS,
    settings=MediationSettings,
    schema=_schema,
    consumes=CONSUMES,
    commands=COMMANDS,
    jobs=JOBS,
    doctor=doctor,
    figures={"open_queue_items": open_items, "accepted_without_term": due_without_clock},
)
