"""Staff of the demonstration county, from the samples' directory."""

import json
from pathlib import Path

from mediation.mediator import repository
from services.runtime import Runtime


async def seed(runtime: Runtime, samples_dir: Path) -> int:
    """Import every member of staff; a repeat renews what it finds. Answers how many."""
    directory = json.loads((Path(samples_dir) / "directory.json").read_text(encoding="utf-8"))
    async with runtime.unit_of_work() as uow:
        for person in directory["staff"]:
            await repository.put(uow.db, {**person, "staff_id": person["id"]})
        uow.audit("staff.import", detail={"count": len(directory["staff"])})
    return len(directory["staff"])
