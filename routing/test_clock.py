"""The clock of a test installation: moved forward for all services, never back."""

from typing import TYPE_CHECKING, Any

from routing.directory_import import publish
from services.errors import FieldError, Invalid, NotFound
from services.unit_of_work import Actor, UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime


async def move(uow: UnitOfWork, seconds: int) -> dict[str, Any]:
    """Move the clock in this transaction; every service hears it on ``directory``.

    Raises ``NotFound`` unless the installation was made as a test, ``Invalid`` for a step back.
    """
    if not uow.runtime.settings.test_installation:
        raise NotFound()
    if seconds <= 0:
        raise Invalid(
            errors=[FieldError("/seconds", "out_of_range", "只能向前调整。/ only forward")]
        )
    await uow.db.execute("SELECT pg_advisory_xact_lock(hashtext('clock:offset'))")
    held = await uow.db.fetchval("SELECT value FROM directory_entry WHERE key = 'clock:offset'")
    total = int((held or {}).get("seconds", 0)) + seconds
    await publish(uow, {"clock:offset": {"seconds": total}})
    uow.audit("test-clock.advanced", detail={"seconds": seconds})
    return {"offset_seconds": total}


async def advance(runtime: "Runtime", seconds: int) -> dict[str, Any]:
    """For the command line: move the clock and take it over here too."""
    async with runtime.unit_of_work(actor=Actor("operator")) as uow:
        answer = await move(uow, seconds)
    runtime.directory_changed()
    return answer
