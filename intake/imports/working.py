"""The importer: reads a run's file in a stream and registers its rows, batch by batch.

A batch is one transaction: referrals, events, audit, results and the run's own figures stand or
fall together, behind a fence (``repository.advance``). Whoever goes on after a crash begins at the
first row that is not counted; every row is done exactly once.
"""

import asyncio
import io
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, cast
from uuid import UUID

import asyncpg
import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from intake.adapters.conversion import Finding
from intake.adapters.layout import Layout, shipped
from intake.adapters.messages import message
from intake.adapters.reading import rows
from intake.adapters.rows import FileError, Row
from intake.adapters.trial import fitting
from intake.handlers import submit_referral
from intake.imports import repository
from intake.imports.brake import Brake
from intake.imports.files import FILE_TABLE, SealedFile, seal, unseal
from intake.imports.judging import Judged, Task, reason
from intake.imports.messages import why
from intake.imports.model import MEDIA_TYPES, RowResult
from intake.imports.refusals import Refusals
from intake.imports.registering import announce_filed, known, register_many
from intake.keys import keys_of
from intake.matters.record import registered
from intake.serials import SerialBlocks
from services.clock import SHANGHAI
from services.errors import Conflict, Forbidden, Invalid, ReferenceInUse, Refused
from services.messaging.failpoints import failpoint
from services.messaging.handling import error_code, error_place, is_transient
from services.unit_of_work import Actor, UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
REFUSAL_TABLE: Final = "import_refusal"
SERIALS: Final = 200
TRIES: Final = 5
# What the database says of a value that it cannot hold; and an event beyond its size.
UNSTORABLE: Final = (
    asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, Conflict, Forbidden, Invalid,
)  # fmt: skip


class Judges(Protocol):
    """Who says what rows become: processes, or this one."""

    ahead: int

    async def judge(self, task: Task, rows: list[Row]) -> list[Judged]:
        """Every row of the batch, in order."""


class _Lost(Exception):
    """The run was cancelled, or somebody else works on it."""


@dataclass(frozen=True)
class _Batch:
    """Rows on their way; ``error`` ends the file, ``last`` when there is nothing more."""

    rows: list[Row]
    bytes_read: int
    error: FileError | None = None
    last: bool = False


class _Reader:
    """Batches of a sealed file; called in a thread, its parts come over the loop."""

    def __init__(self, file: SealedFile, layout: Layout, *, after: int, size: int) -> None:
        self._file = file
        self._size = size
        self._rows = self._skipped(rows(cast(BinaryIO, io.BufferedReader(file)), layout), after)

    @staticmethod
    def _skipped(found: Iterator[Row], after: int) -> Iterator[Row]:
        return (row for row in found if row.number > after)

    def batch(self) -> _Batch:
        """The next rows."""
        taken: list[Row] = []
        try:
            for row in self._rows:
                taken.append(row)
                if len(taken) == self._size:
                    return _Batch(taken, self._file.tell())
        except FileError as error:
            return _Batch(taken, self._file.tell(), error, last=True)
        return _Batch(taken, self._file.tell(), last=True)


class Importer:
    """Works off the runs that wait, one after another."""

    def __init__(self, runtime: "Runtime", judges: Judges) -> None:
        self.runtime = runtime
        self.judges = judges
        settings: Any = runtime.settings
        self.batch: int = settings.import_batch
        self.keep = timedelta(hours=settings.import_keep_hours)
        self.serials = SerialBlocks(settings.database_url.get_secret_value(), SERIALS)
        self.brake = Brake(runtime)
        self._failed: dict[UUID, tuple[int, int]] = {}

    async def close(self) -> None:
        """Give the connection for serials back."""
        await self.serials.close()

    async def work_off(self) -> int:
        """Every run that waits; how many were worked on."""
        done = 0
        while (
            import_id := await repository.claim(
                self.runtime.pool, self.runtime.instance, self.runtime.clock.now()
            )
        ) is not None:
            try:
                await self._work(import_id)
            except Exception as error:
                # An edge: what fails again and again at one place must not hold up the others.
                if is_transient(error) or not await self._given_up(import_id):
                    raise
                log.error("import given up", code=error_code(error), place=error_place(error))
            done += 1
        return done

    async def _given_up(self, import_id: UUID) -> bool:
        """Count a failure without a step forward since the last; the fifth ends the run."""
        found = await repository.run(self.runtime.pool, import_id)
        if found is None:
            return True
        place, times = self._failed.get(import_id, (-1, 0))
        times = times + 1 if place == found["rows_read"] else 1
        self._failed[import_id] = (found["rows_read"], times)
        if times < TRIES:
            return False
        await self._end(import_id, "failed", FileError("row_not_understood"))
        return True

    async def _work(self, import_id: UUID) -> None:
        found = await repository.run(self.runtime.pool, import_id)
        if found is None:
            return
        if found["wrapped_key"] is None:
            await self._end(import_id, "failed", FileError("file_deleted"))
            return
        cipher = keys_of(self.runtime).vault.cipher(
            FILE_TABLE, found["file_id"], found["kek_id"], bytes(found["wrapped_key"])
        )
        file = self._file(found, cipher)
        try:
            layout = await self._layout(found, file)
        except FileError as error:
            await self._end(import_id, "failed", error)
            return
        try:
            broken = await _Run(self, dict(found), layout, cipher, file).work()
        except _Lost:
            return
        await self._end(import_id, "failed" if broken else "done", broken)

    async def _end(self, import_id: UUID, state: str, error: FileError | None) -> None:
        now = self.runtime.clock.now()
        await repository.end(
            self.runtime.pool,
            import_id,
            self.runtime.instance,
            state=state,
            now=now,
            delete_at=now + self.keep,
            fault=error.rule if error else None,
            fault_line=error.line if error else None,
        )

    def _file(self, found: Any, cipher: AESGCM) -> SealedFile:
        loop = asyncio.get_running_loop()
        file_id, pool = found["file_id"], self.runtime.pool

        def part(ordinal: int) -> bytes:
            ask = repository.part(pool, file_id, ordinal)
            sealed = asyncio.run_coroutine_threadsafe(ask, loop).result(60)
            if sealed is None:
                raise FileError("file_deleted")
            return unseal(cipher, FILE_TABLE, file_id, ordinal, sealed)

        return SealedFile(found["size_bytes"], part)

    async def _layout(self, found: Any, file: SealedFile) -> Layout:
        """The run's layout; when it names none, the only one that fits. Raises ``FileError``."""
        if found["layout"] is not None:
            return Layout.model_validate_json(found["layout"])
        own = await repository.own_layouts(self.runtime.pool, found["connection"])
        candidates = dict(shipped())
        for text in own:
            layout = Layout.model_validate_json(text)
            candidates[layout.layout] = layout
        kind = MEDIA_TYPES.get(found["media_type"])
        if kind:
            candidates = {n: c for n, c in candidates.items() if c.format.kind == kind}

        def again() -> BinaryIO:
            file.seek(0)
            return cast(BinaryIO, io.BufferedReader(_Unclosed(file)))

        fits = await asyncio.to_thread(fitting, again, candidates)
        file.seek(0)
        if len(fits) > 1:
            raise FileError("several_layouts_fit")
        layout = candidates[fits[0]]
        await repository.choose_layout(self.runtime.pool, found["import_id"], layout.text())
        return layout


class _Unclosed(io.RawIOBase):
    """The file under a reader that closes what it reads from."""

    def __init__(self, file: SealedFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, into: "bytearray | memoryview") -> int:  # type: ignore[override]
        return self._file.readinto(into)


class _Run:
    """One run from where it stands to its end."""

    def __init__(
        self,
        importer: Importer,
        run: dict[str, Any],
        layout: Layout,
        cipher: AESGCM,
        file: SealedFile,
    ) -> None:
        self.runtime = importer.runtime
        self.importer = importer
        self.run = run
        self.import_id: UUID = run["import_id"]
        self.cipher = cipher
        self.refusals = Refusals(layout)
        self.done: int = run["rows_read"]
        self.reader = _Reader(file, layout, after=self.done, size=importer.batch)
        self.task = Task(
            self.import_id,
            layout.text(),
            tuple(run["organisations"]),
            run["connection"],
            run["dry"],
            self.runtime.clock.now(),
        )

    async def work(self) -> FileError | None:
        """Every row; why the file cannot be read on, if so. Raises ``_Lost``."""
        ahead: deque[tuple[_Batch, asyncio.Task[list[Judged]]]] = deque()
        last = False
        try:
            while True:
                while not last and len(ahead) < self.importer.judges.ahead:
                    batch = await asyncio.to_thread(self.reader.batch)
                    last = batch.last
                    judged = asyncio.create_task(self._judge(batch.rows))
                    ahead.append((batch, judged))
                batch, judged = ahead.popleft()
                await self._take(batch, await judged)
                if batch.last:
                    return batch.error
        finally:
            for _, judged in ahead:
                judged.cancel()

    async def _judge(self, rows_: list[Row]) -> list[Judged]:
        if not rows_:
            return []
        task = replace(self.task, now=self.runtime.clock.now())
        return await self.importer.judges.judge(task, rows_)

    async def _take(self, batch: _Batch, judged: list[Judged]) -> None:
        if not judged:
            return
        began = time.monotonic()
        try:
            await self._write(batch.rows, judged, batch.bytes_read)
        except UNSTORABLE:
            for row, one in zip(batch.rows, judged, strict=True):
                try:
                    await self._write([row], [one], batch.bytes_read)
                except UNSTORABLE:
                    await self._write([row], [_refused(one, "cannot_be_stored")], batch.bytes_read)
        failpoint("imports.after_batch")
        await self.importer.brake.after(len(judged), time.monotonic() - began)

    async def _write(self, rows_: list[Row], judged: list[Judged], bytes_read: int) -> None:
        """One transaction. Raises ``_Lost``."""
        run = self.run
        actor = Actor(run["client_id"], run["organisation"], run["acted_by"])
        async with self.runtime.unit_of_work(
            actor=actor, correlation_id=str(self.import_id)
        ) as uow:
            results = await (self._tried(uow, judged) if run["dry"] else self._done(uow, judged))
            await repository.add_rows(uow.db, self.import_id, results)
            await self._give_back(uow, rows_, results)
            if not await repository.advance(
                uow.db,
                self.import_id,
                self.runtime.instance,
                before=self.done,
                results=results,
                bytes_read=bytes_read,
            ):
                raise _Lost
        self.done += len(results)

    async def _give_back(
        self, uow: UnitOfWork, rows_: list[Row], results: Sequence[RowResult]
    ) -> None:
        refused = [
            (row, why(result.reasons))
            for row, result in zip(rows_, results, strict=True)
            if result.outcome == "refused"
        ]
        if refused:
            ordinal = results[-1].row
            piece = self.refusals.piece(refused)
            sealed = seal(self.cipher, REFUSAL_TABLE, self.import_id, ordinal, piece)
            await repository.add_refusal(uow.db, self.import_id, ordinal, sealed)

    async def _tried(self, uow: UnitOfWork, judged: list[Judged]) -> list[RowResult]:
        """A dry run: what would become of the rows."""
        taking = [one for one in judged if one.key]
        there = await known(uow, [one.key for one in taking if one.key])
        earlier = await repository.marked(
            uow.db, self.import_id, [one.mark for one in taking if one.mark]
        )
        results = []
        for one in judged:
            if one.refused or one.key is None or one.mark is None or one.content is None:
                results.append(_result(one, "refused"))
                continue
            found = there.get(one.key)
            before = found[0] if found else earlier.get(one.mark)
            if before is None:
                earlier[one.mark] = one.content
                results.append(_result(one, "accepted"))
            else:
                results.append(_again(one, before, found[1] if found else None))
        return results

    async def _done(self, uow: UnitOfWork, judged: list[Judged]) -> list[RowResult]:
        """Register the rows; emits what a POST of each emits."""
        taking = [one for one in judged if one.filed and one.key]
        there = await known(uow, [one.key for one in taking if one.key])
        new: dict[tuple[str, str], Judged] = {}
        for one in taking:
            if one.key and one.key not in there:
                new.setdefault(one.key, one)
        there |= await self._register(uow, list(new.values()))
        results = []
        for one in judged:
            if one.refused or one.key is None:
                results.append(_result(one, "refused"))
                continue
            if one.document is not None:
                results.append(await self._alone(uow, one, one.document))
                continue
            content, referral_id = there[one.key]
            if one.filed and one.filed.referral_id == referral_id:
                results.append(replace(_result(one, "accepted"), referral_id=referral_id))
            else:
                results.append(_again(one, content, referral_id))
        return results

    async def _alone(self, uow: UnitOfWork, one: Judged, document: dict[str, Any]) -> RowResult:
        """Submit a row as a POST does: what law bars, or is no dispute, is refused on record."""
        connection = self.run["connection"]
        organisation = document["source"]["organisation"]
        try:
            done = await submit_referral(
                document, uow, organisations=(organisation,), connection=connection
            )
        except ReferenceInUse:
            return _result(_refused(one, "reference_in_use"), "refused")
        except Refused as refused:
            problem = await registered(refused, uow, connection=connection)
            reasons = [
                reason(Finding("refused", None, error.code, error.message, error.pointer))
                for error in problem.errors
            ]
            return _result(replace(one, reasons=[*one.reasons, *reasons]), "refused")
        outcome = "repeated" if done.replayed else "accepted"
        return replace(_result(one, outcome), referral_id=done.referral_id)

    async def _register(
        self, uow: UnitOfWork, new: list[Judged]
    ) -> dict[tuple[str, str], tuple[bytes, UUID]]:
        """Those whose reference was free are announced; fingerprint and id of every reference."""
        year = uow.now.astimezone(SHANGHAI).year
        made = [
            (one.filed, await self.importer.serials.number(one.filed.county, year))
            for one in new
            if one.filed
        ]
        if not made:
            return {}
        ours = await register_many(uow, made, self.run["connection"])
        for filed, number in made:
            if filed.referral_id in ours:
                announce_filed(uow, filed, number)
        lost = [
            one.key for one in new if one.filed and one.key and one.filed.referral_id not in ours
        ]
        answer = await known(uow, lost) if lost else {}
        for one in new:
            if one.filed and one.key and one.filed.referral_id in ours:
                answer[one.key] = (one.filed.fingerprint, one.filed.referral_id)
        return answer


def _result(one: Judged, outcome: str) -> RowResult:
    return RowResult(one.row, one.line, outcome, None, one.reasons, one.mark, one.content)


def _again(one: Judged, before: bytes, referral_id: UUID | None) -> RowResult:
    """The reference is used: by the same content, or by other content."""
    if one.content == before:
        return replace(_result(one, "repeated"), referral_id=referral_id)
    return _result(_refused(one, "reference_in_use"), "refused")


def _refused(one: Judged, rule: str) -> Judged:
    reason = {
        "level": "refused",
        "column": None,
        "pointer": "/source/reference" if rule == "reference_in_use" else None,
        "rule": rule,
        "message": message(rule),
    }
    return replace(one, refused=True, reasons=[*one.reasons, reason], filed=None)
