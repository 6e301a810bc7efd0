"""What is done with imports before and after the importer: take a file in, run, cancel, show."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from intake.adapters.layout import Layout, LayoutError, checked, shipped
from intake.adapters.messages import message
from intake.imports import repository
from intake.imports.files import FILE_TABLE, Parts, seal, unseal
from intake.imports.messages import shown
from intake.imports.model import ENDED
from intake.imports.refusals import Refusals
from intake.imports.working import REFUSAL_TABLE
from intake.keys import keys_of
from intake.messages import chinese
from services.errors import Conflict, FieldError, Gone, Invalid, NotFound, TooLarge, TooManyRequests
from services.ids import new_id
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

UPLOADED_WITHIN: Final = timedelta(hours=1)


async def take_in(runtime: "Runtime", pieces: AsyncIterator[bytes], media_type: str) -> UUID:
    """Seal a file at rest, part by part as it comes; its id.

    Each part is a transaction of its own, so that a slow sender holds no connection; a file that is
    never finished is deleted an hour later. Raises ``TooLarge``, ``Invalid`` for an empty file.
    """
    settings: Any = runtime.settings
    keys = keys_of(runtime)
    file_id = new_id()
    sealed = keys.vault.seal(FILE_TABLE, file_id, {})
    cipher = keys.vault.cipher(FILE_TABLE, file_id, sealed.kek_id, sealed.wrapped_key)
    await repository.add_file(
        runtime.pool,
        file_id,
        kek_id=sealed.kek_id,
        wrapped_key=sealed.wrapped_key,
        media_type=media_type,
        delete_at=runtime.clock.now() + UPLOADED_WITHIN,
    )
    parts, ordinal = Parts(), 0
    hash_ = hmac.new(keys.vault.keys.secret("import-file"), digestmod=hashlib.sha256)

    async def keep(found: list[bytes]) -> None:
        nonlocal ordinal
        for part in found:
            data = seal(cipher, FILE_TABLE, file_id, ordinal, part)
            await repository.add_part(runtime.pool, file_id, ordinal, data)
            ordinal += 1

    async for piece in pieces:
        hash_.update(piece)
        await keep(parts.add(piece))
        if parts.size > settings.import_max_bytes:
            raise TooLarge("the export is larger than this site takes")
    await keep(parts.rest())
    if not parts.size:
        raise Invalid(errors=[FieldError("", "text_empty", "文件为空。/ The file is empty.")])
    await repository.finish_file(
        runtime.pool,
        file_id,
        size=parts.size,
        sha256=hash_.digest(),
        delete_at=runtime.clock.now() + UPLOADED_WITHIN,
    )
    return file_id


async def may_wait(runtime: "Runtime", organisation: str) -> None:
    """Raises ``TooManyRequests`` when too many runs of the organisation wait already."""
    settings: Any = runtime.settings
    if await repository.waiting(runtime.pool, organisation) >= settings.import_waiting:
        raise TooManyRequests("too many imports wait already", retry_after_seconds=60)


async def start(
    uow: UnitOfWork,
    file_id: UUID,
    *,
    layout: Layout | None,
    dry: bool,
    drop_name: str | None = None,
) -> UUID:
    """A run over a file that was taken in, for the caller and its connection's organisations."""
    caller = uow.caller
    if caller is None:
        raise NotFound()
    import_id = new_id()
    await repository.add_run(
        uow,
        import_id,
        file_id=file_id,
        organisation=caller.organisation,
        organisations=caller.organisations,
        connection=caller.connection,
        client_id=caller.client_id,
        dry=dry,
        layout=None if layout is None else layout.text(),
        drop_name=drop_name,
    )
    uow.audit("import.started", subject=str(import_id), detail={"dry": dry})
    return import_id


async def make_real(uow: UnitOfWork, found: Any) -> UUID:
    """Run what a dry run tried, over the same file and layout; its one run, also when repeated.

    Raises ``Conflict`` unless the dry run is done, ``Gone`` when the file is deleted.
    """
    if found["made_real_by"] is not None:
        return UUID(str(found["made_real_by"]))
    if not found["dry"] or found["state"] != "done":
        raise Conflict("only a dry run that is done can be run")
    if found["wrapped_key"] is None:
        raise Gone("the file is deleted; upload it again")
    import_id = new_id()
    await repository.add_run(
        uow,
        import_id,
        file_id=found["file_id"],
        organisation=found["organisation"],
        organisations=found["organisations"],
        connection=found["connection"],
        client_id=uow.actor.name,
        dry=False,
        layout=found["layout"],
        run_of=found["import_id"],
    )
    uow.audit("import.started", subject=str(import_id), detail={"dry": False})
    return import_id


async def cancel(uow: UnitOfWork, found: Any) -> None:
    """End a run after the batch in hand; what it registered stays. A repeat changes nothing.

    Raises ``Conflict`` when it came to its end by itself.
    """
    if found["state"] == "cancelled":
        return
    if not await repository.cancel(uow, found["import_id"]):
        raise Conflict("the import has come to its end")
    settings: Any = uow.runtime.settings
    delete_at = uow.now + timedelta(hours=settings.import_keep_hours)
    await repository.keep_file(uow.db, found["file_id"], delete_at)
    uow.audit("import.cancelled", subject=str(found["import_id"]))


_SHOWN: Final = (
    "import_id", "state", "rows_read", "accepted", "warned", "repeated", "refused", "bytes_read",
    "recorded_at", "started_at", "finished_at",
)  # fmt: skip


def view(found: Any) -> dict[str, Any]:
    """A run as it is shown."""
    layout = json.loads(found["layout"] or "{}")
    fault = found["fault"]
    kept = found["state"] in ENDED and found["wrapped_key"] is not None
    return {
        **{name: found[name] for name in _SHOWN},
        "mode": "dry_run" if found["dry"] else "run",
        "layout": layout.get("layout"),
        "layout_version": layout.get("version"),
        "fault": fault
        and {
            "rule": fault,
            "line": found["fault_line"],
            "message": message(fault),
            "message_zh": chinese().get(fault, message(fault)),
        },
        "bytes_total": found["size_bytes"],
        "file_kept_until": found["delete_at"] if kept else None,
        "dry_run_id": found["run_of"],
        "run_id": found["made_real_by"],
    }


def row_view(row: Any) -> dict[str, Any]:
    """A row as it is shown."""
    return {**dict(row), "reasons": [shown(reason) for reason in row["reasons"]]}


async def refused_file(runtime: "Runtime", found: Any) -> AsyncIterator[bytes]:
    """The refused rows as a file in the sender's own layout.

    A workbook is packed in memory; the others are streamed.
    """
    layout = Layout.model_validate_json(found["layout"])
    cipher = keys_of(runtime).vault.cipher(
        FILE_TABLE, found["file_id"], found["kek_id"], bytes(found["wrapped_key"])
    )
    import_id = found["import_id"]

    async def pieces() -> AsyncIterator[bytes]:
        after = 0
        while rows := await repository.refusals(runtime.pool, import_id, after=after, limit=20):
            for row in rows:
                after = row["ordinal"]
                yield unseal(cipher, REFUSAL_TABLE, import_id, after, bytes(row["data"]))

    async with aclosing(Refusals(layout).streamed(pieces())) as file:
        async for piece in file:
            yield piece


# -- layouts ---------------------------------------------------------------------------------------


async def layouts(uow: UnitOfWork, connection: str) -> list[dict[str, Any]]:
    """The connection's own layouts and those of this release, by name; its own go first."""
    own = await repository.own_layouts(uow.db, connection)
    found = {name: (each, False) for name, each in shipped().items()}
    for text in own:
        layout = Layout.model_validate_json(text)
        found[layout.layout] = (layout, True)
    return [layout_view(each, own=is_own) for _, (each, is_own) in sorted(found.items())]


def layout_view(layout: Layout, *, own: bool) -> dict[str, Any]:
    """A layout as it is shown."""
    return {
        "layout": layout.layout,
        "version": layout.version,
        "format": layout.format.kind,
        "about": layout.about,
        "own": own,
        "definition": json.loads(layout.text()),
    }


async def find_layout(
    db: Any, connection: str, name: str, version: int | None
) -> tuple[Layout, bool]:
    """A layout by name, the connection's own before one of this release. Raises ``NotFound``."""
    own = await repository.own_layout(db, connection, name, version)
    if own is not None:
        return Layout.model_validate_json(own), True
    found = shipped().get(name)
    if found is None or version not in (None, found.version):
        raise NotFound()
    return found, False


async def put_layout(uow: UnitOfWork, connection: str, name: str, raw: Any) -> Layout:
    """Keep a version of an own layout; the same again changes nothing.

    Raises ``Invalid`` with everything that is wrong, ``Conflict`` unless the version is higher.
    """
    try:
        layout = checked(raw)
    except LayoutError as error:
        faults = error.faults or (("", str(error)),)
        raise Invalid(
            errors=[FieldError(p, "layout", f"映射文件有误。/ {said}") for p, said in faults]
        ) from None
    if layout.layout != name:
        said = "路径与映射文件中的名称不同。/ The name in the path and in the layout differ."
        raise Invalid(errors=[FieldError("/layout", "layout", said)])
    await uow.db.execute(
        "SELECT pg_advisory_xact_lock(hashtext($1))", f"layout {connection} {name}"
    )
    newest = await repository.own_layout(uow.db, connection, name)
    if newest == layout.text():
        return layout
    if newest is not None and json.loads(newest)["version"] >= layout.version:
        raise Conflict("another layout has this version: raise it")
    await repository.add_layout(uow.db, connection, name, layout.version, layout.text())
    uow.audit("layout.kept", subject=name, detail={"version": layout.version})
    return layout
