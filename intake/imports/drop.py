"""The drop folder: a connection's exports and lists as files, results beside them.

``<folder>/<connection>/NAME`` is taken when it has lain still for a while (a file that is renamed
into the folder when it is whole has), moved to ``working/``, sealed and run like an upload, and
moved to ``done/`` with ``NAME.result.ndjson`` and ``NAME.refused.<ending>`` beside it. Files that
begin with a dot or end in ``.part`` or ``.tmp`` are left alone. A name that begins with
``reconcile`` is a list to be held against ours. The database remembers each name: whatever line a
process dies on, the next round goes on from what it finds, and no file is run twice. Each night the
last list of each connection is held against ours once more: a side that is still wrong stays seen.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from intake.imports import handlers, repository
from intake.imports.model import MEDIA_TYPES
from intake.reconciliation import handlers as reconciling
from intake.reconciliation import repository as reconciliations
from intake.reconciliation.model import night
from services.auth import Caller
from services.clock import SHANGHAI
from services.errors import Problem
from services.messaging.failpoints import failpoint
from services.unit_of_work import Actor

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
WORKING: Final = "working"
DONE: Final = "done"
UNFINISHED: Final = (".part", ".tmp", ".filepart", ".crdownload")
PIECE_BYTES: Final = 256 * 1024
AT_ONCE: Final = 20
_ENDINGS: Final = {kind: name for name, kind in reversed(MEDIA_TYPES.items())}
_RESULT: Final = ".result.ndjson"
_LIST: Final = re.compile(r"reconcile.*\.(csv|ndjson)\Z", re.IGNORECASE)


async def look(runtime: "Runtime") -> int:
    """Every connection's folder: take up what lies there, give back what is done; how many."""
    return await _in_every_folder(runtime, lambda folder: folder.look())


async def compare_nightly(runtime: "Runtime") -> int:
    """Hold each connection's last dropped list against ours again, once a night; how many.

    The hour is data (``intake/data/reconciliation.json``). A list that was compared since is not
    due before the next night; a night that was missed is made up for, once.
    """
    due = night(runtime.clock.now())
    return await _in_every_folder(runtime, lambda folder: folder.compare_again(due))


async def _in_every_folder(runtime: "Runtime", act: Callable[["_Folder"], Awaitable[int]]) -> int:
    settings: Any = runtime.settings
    root: Path | None = settings.drop_dir
    if root is None:
        return 0
    done = 0
    for name, connection in runtime.directory.all("connection").items():
        folder, organisations = root / name, connection.get("organisations")
        if not organisations or not connection.get("active", True):
            continue
        try:
            if await asyncio.to_thread(folder.is_dir):
                done += await act(_Folder(runtime, folder, name, organisations))
        except OSError as error:  # what one folder does not let us do must not stop the others
            log.error("drop folder failed", connection=name, code=type(error).__name__)
    return done


class _Folder:
    """One connection's folder."""

    def __init__(
        self, runtime: "Runtime", folder: Path, connection: str, organisations: list[str]
    ) -> None:
        self.runtime = runtime
        self.folder = folder
        # The first of its organisations sees the import; rows may be of any of them.
        self.caller = Caller(
            f"drop:{connection}",
            connection,
            organisations[0],
            tuple(organisations),
            frozenset({"referral:read", "referral:write"}),
        )
        self.actor = Actor(self.caller.client_id, self.caller.organisation)

    async def look(self) -> int:
        settings: Any = self.runtime.settings
        await asyncio.to_thread(self._make)
        for path in await asyncio.to_thread(self._whole, settings.drop_settle_seconds):
            await asyncio.to_thread(self._take_up, path)
        done = 0
        for path in await asyncio.to_thread(self._working):
            try:
                done += await self._go_on(path)
            except Problem as problem:
                await asyncio.to_thread(self._give_back_refused, path, problem)
                done += 1
        return done

    def _make(self) -> None:
        for name in (WORKING, DONE):
            (self.folder / name).mkdir(exist_ok=True)

    def _whole(self, settle_seconds: float) -> list[Path]:
        """Files that lie still, oldest first."""
        found = []
        for entry in os.scandir(self.folder):
            name = entry.name.lower()
            if name.startswith(".") or name.endswith(UNFINISHED):
                continue
            if entry.is_file(follow_symlinks=False):
                changed = entry.stat(follow_symlinks=False).st_mtime
                if time.time() - changed >= settle_seconds:
                    found.append((changed, Path(entry.path)))
        return [path for _, path in sorted(found)[:AT_ONCE]]

    def _take_up(self, path: Path) -> None:
        """Move a file to where it is worked on, under a name that nothing had before."""
        name = path.name
        if any((self.folder / each / name).exists() for each in (WORKING, DONE)):
            stamp = self.runtime.clock.now().astimezone(SHANGHAI).strftime("%Y%m%d%H%M%S%f")
            name = f"{path.stem}.{stamp}{path.suffix}"
        path.rename(self.folder / WORKING / name)
        failpoint("imports.after_take_up")

    def _working(self) -> list[Path]:
        return sorted(path for path in (self.folder / WORKING).iterdir() if path.is_file())

    async def _go_on(self, path: Path) -> int:
        """Begin, or end, what a file in ``working`` asks for; 1 when something was done."""
        name = f"{self.caller.connection}/{path.name}"
        if _LIST.match(path.name):
            await self._reconcile(path, name)
            return 1
        found = await repository.dropped(self.runtime.pool, name)
        if found is None:
            await self._begin(path, name)
            return 1
        if found["finished_at"] is None:
            return 0
        await self._results(path, found)
        return 1

    async def _begin(self, path: Path, name: str) -> None:
        kind = _ENDINGS.get(path.suffix.lower().removeprefix("."), "application/octet-stream")
        file_id = await handlers.take_in(self.runtime, _pieces(path), kind)
        failpoint("imports.after_take_in")
        async with self.runtime.unit_of_work(actor=self.actor, caller=self.caller) as uow:
            await handlers.start(uow, file_id, layout=None, dry=False, drop_name=name)

    async def _results(self, path: Path, found: Any) -> None:
        """Write the result lines and the refused rows, then move the file away."""
        pool, import_id = self.runtime.pool, found["import_id"]

        async def lines() -> AsyncIterator[bytes]:
            after = 0
            while rows := await repository.rows(
                pool, import_id, outcome=None, after=after, limit=1000
            ):
                after = rows[-1]["row"]
                for row in rows:
                    yield _json(handlers.row_view(row))
            yield _json({"summary": handlers.view(found)})

        if found["refused"] and found["layout"] and found["wrapped_key"] is not None:
            kind = json.loads(found["layout"])["format"]["kind"]
            refused = handlers.refused_file(self.runtime, found)
            await self._write(f"{path.name}.refused.{kind}", refused)
        await self._write(f"{path.name}.result.ndjson", lines())
        failpoint("imports.after_results")
        await asyncio.to_thread(path.rename, self.folder / DONE / path.name)

    async def compare_again(self, due: datetime) -> int:
        """The last list in ``done``, when it was not compared since ``due``; 1 when it was now."""
        path = await asyncio.to_thread(self._last_list)
        if path is None:
            return 0
        pool, name = self.runtime.pool, f"{self.caller.connection}/{path.name}"
        first = await reconciliations.by_drop_name(pool, name)
        if first is None or first["recorded_at"] >= due:
            return 0  # refused as a whole when it came, or compared since
        stamp = f"{due.astimezone(SHANGHAI):%Y-%m-%d}"
        result = f"{path.name}.{stamp}"
        if await asyncio.to_thread((self.folder / DONE / f"{result}{_RESULT}").exists):
            return 0
        await self._differences(await self._compared(path, f"{name}@{stamp}"), result)
        return 1

    def _last_list(self) -> Path | None:
        folder = self.folder / DONE
        if not folder.is_dir():
            return None
        lists = [
            entry
            for entry in os.scandir(folder)
            if _LIST.match(entry.name)
            and not entry.name.endswith(_RESULT)
            and entry.is_file(follow_symlinks=False)
        ]
        found = max(lists, key=lambda e: (e.stat().st_mtime_ns, e.name), default=None)
        return Path(found.path) if found else None

    async def _reconcile(self, path: Path, name: str) -> None:
        await self._differences(await self._compared(path, name), path.name)
        await asyncio.to_thread(path.rename, self.folder / DONE / path.name)

    async def _compared(self, path: Path, name: str) -> Any:
        """The reconciliation under this name, made when it is not there yet."""
        settings: Any = self.runtime.settings
        found = await reconciliations.by_drop_name(self.runtime.pool, name)
        if found is not None:
            return found
        kind = path.suffix.lower().removeprefix(".")
        theirs = await reconciling.read_list(_pieces(path), kind, settings.reconciliation_lines)
        async with self.runtime.unit_of_work(actor=self.actor, caller=self.caller) as uow:
            await reconciling.reconcile(
                uow,
                theirs,
                organisation=self.caller.organisation,
                connection=self.caller.connection,
                drop_name=name,
            )
        return await reconciliations.by_drop_name(self.runtime.pool, name)

    async def _differences(self, found: Any, name: str) -> None:
        """Write what differs beside the list."""
        id_, counts = found["reconciliation_id"], found["counts"]

        async def lines() -> AsyncIterator[bytes]:
            after = 0
            while rows := await reconciliations.differences(
                self.runtime.pool, id_, kind=None, after=after, limit=1000
            ):
                after = rows[-1]["number"]
                for row in rows:
                    yield _json(reconciling.difference_view(row))
            yield _json({"summary": {"reconciliation_id": id_, "counts": counts}})

        await self._write(f"{name}{_RESULT}", lines())

    def _give_back_refused(self, path: Path, problem: Problem) -> None:
        """A file that is refused as a whole: why stands in its result."""
        told = {"code": problem.slug, "errors": [e.wire() for e in problem.errors]}
        result = self.folder / DONE / f"{path.name}.result.ndjson"
        result.write_bytes(_json({"refused": told}))
        path.rename(self.folder / DONE / path.name)
        log.warning("dropped file refused", connection=self.caller.connection, code=problem.slug)

    async def _write(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        """A result file, whole or not there."""
        draft = self.folder / DONE / f".{name}.tmp"
        file = await asyncio.to_thread(draft.open, "wb")
        try:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)
        finally:
            await asyncio.to_thread(file.close)
        await asyncio.to_thread(draft.rename, self.folder / DONE / name)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece
    finally:
        await asyncio.to_thread(file.close)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode() + b"\n"
