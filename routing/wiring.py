"""Routing as a value: what it hears, serves, sweeps and owns."""

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from routing import keys, repository, sweeper
from routing.commands import COMMANDS
from routing.consumers import CONSUMES
from routing.directory_import import republish
from routing.endpoints import router
from routing.settings import RoutingSettings
from services.service import Loop, Schema, Service

if TYPE_CHECKING:
    from services.runtime import Runtime


async def _start(runtime: "Runtime") -> None:
    """Make the signing key where there is none, and publish it."""
    await keys.publish_key(runtime)


async def _recompute(job_id: UUID, payload: dict[str, Any], runtime: "Runtime") -> None:
    await sweeper.recompute_projected(runtime)


async def _doctor(runtime: "Runtime") -> list[str]:
    return await repository.broken_invariants(runtime.pool)


def _schema() -> Schema:
    from routing.tables import EXTRA_DDL, METADATA

    return Schema(METADATA, EXTRA_DDL)


ROUTING: Final = Service(
    name="routing",
    title="Routing",
    description="Who handles a case and by when: directory, rules, turns, linkages, clocks",
    routers=lambda: (router,),
    settings=RoutingSettings,
    schema=_schema,
    consumes=CONSUMES,
    commands=COMMANDS,
    jobs={"recompute-projected-clocks": _recompute},
    loops=(
        Loop("routing.sweeper", sweeper.sweep, idle_seconds=0.5),
        Loop("routing.republish", republish, idle_seconds=5.0),
    ),
    on_start=_start,
    doctor=_doctor,
    figures={"oldest_unfired_clock_seconds": sweeper.oldest_unfired},
)
