"""The demonstration county: clients, connections, organisations, places, calendars, the key."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routing.directory_import import import_values, read_folder, take_clients
from routing.keys import publish_key
from services.unit_of_work import Actor

if TYPE_CHECKING:
    from services.runtime import Runtime


async def seed(
    runtime: "Runtime", samples_dir: Path, clients_file: Path | None = None
) -> dict[str, Any]:
    """Fill an empty installation, or bring it level with the files; a repeat changes nothing."""
    path = clients_file or runtime.settings.clients_file
    entries: list[dict[str, Any]] = []
    if path.exists():
        raw = json.loads(path.read_text(encoding="utf-8"))
        entries = raw["clients"] if isinstance(raw, dict) else raw
    async with runtime.unit_of_work(actor=Actor("operator")) as uow:
        answer: dict[str, Any] = dict(await take_clients(uow, entries))
        changed = await import_values(uow, read_folder(samples_dir))
        answer |= {kind: len(keys) for kind, keys in changed.items()}
    await runtime.refresh_directory()
    await publish_key(runtime)
    return answer
