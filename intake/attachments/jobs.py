"""The check of a paper that has come whole, and what is cleared away when its time is over."""

import asyncio
import hashlib
import struct
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from intake.attachments import handlers, kinds, repository, sealed_files
from intake.attachments.model import site
from intake.attachments.scanner import ScannerUnreachable, scanner_of
from intake.keys import keys_of
from services.confined import ConfinedOverrun, ConfinedRefused, confined
from services.errors import Transient
from services.messaging.failpoints import failpoint

if TYPE_CHECKING:
    from services.runtime import Runtime

_AT_ONCE: Final = 200
_FOLDERS: Final = 2000
_NOOK: Final = "intake.attachments.nook"
_TURN: Final = "intake.attachments.turn"


@dataclass(frozen=True)
class Found:
    """What a check found."""

    state: str
    sha256: str
    reason: str | None = None
    media_type: str | None = None
    preview: bytes = b""
    copy: bytes = b""


async def check(_: UUID, payload: dict[str, Any], runtime: "Runtime") -> None:
    """Hash, type by content, malware scan, pictures without metadata; then it opens, or never.

    Until then the paper is in quarantine. A repeat finds it checked and does nothing. A scanner
    that is on and does not answer leaves it there: raises ``Transient``, and the job comes again.
    """
    attachment_id = UUID(payload["attachment_id"])
    # Each check holds one paper in memory; more at once would hold more.
    async with runtime.state.setdefault(_TURN, asyncio.Lock()):
        async with runtime.unit_of_work(readonly=True) as uow:
            row = await repository.one(uow, attachment_id)
            segments = await repository.parts(uow, attachment_id)
        if row is None or row["state"] != "received":
            return
        root, key = sealed_files.root_of(runtime), handlers.file_key(keys_of(runtime), row)
        await asyncio.to_thread(
            sealed_files.remove_others, root, attachment_id, [name for name, _ in segments]
        )
        data = await asyncio.to_thread(
            lambda: b"".join(sealed_files.read(root, attachment_id, key, segments))
        )
        name = handlers.view(keys_of(runtime), row, named=True)["name"]
        found = await examine(
            data, name, row["declared_sha256"], str(getattr(runtime.settings, "clamav", ""))
        )
        made = {
            kind: await _keep(runtime, attachment_id, key, bytes_)
            for kind, bytes_ in (("preview", found.preview), ("copy", found.copy))
        }
    failpoint("attachment.before_checked")
    async with runtime.unit_of_work() as uow:
        if await repository.set_checked(
            uow,
            attachment_id,
            state=found.state,
            reason=found.reason,
            sha256=found.sha256,
            media_type=found.media_type,
            **made,
        ):
            uow.audit(
                "attachment.checked",
                case_id=row["case_id"],
                subject=str(attachment_id),
                detail={"state": found.state, "reason": found.reason},
            )
            if found.state == "refused":
                await repository.forget(uow, attachment_id, "refused")
    failpoint("attachment.after_checked")
    if found.state == "refused":
        await asyncio.to_thread(sealed_files.remove, root, attachment_id)


async def _keep(
    runtime: "Runtime", attachment_id: UUID, key: bytes, data: bytes
) -> tuple[str, int] | None:
    if not data:
        return None
    kind = "png" if data.startswith(b"\x89PNG") else "jpg"
    name = await asyncio.to_thread(
        sealed_files.write_whole, sealed_files.root_of(runtime), attachment_id, key, kind, data
    )
    return name, len(data)


async def examine(data: bytes, name: str, declared: str | None, clamav: str) -> Found:
    """Everything a check looks at, in this order. Raises ``Transient``."""
    sha256 = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
    if declared is not None and declared != sha256:
        return Found("refused", sha256, "hash_differs")
    try:
        media_type = await asyncio.to_thread(kinds.media_type, data, name)
    except kinds.NotAllowed as error:
        return Found("refused", sha256, error.reason)
    scanner = scanner_of(clamav)
    try:
        clean = scanner is None or await scanner.is_clean(data)
    except ScannerUnreachable:
        raise Transient("the scanner does not answer") from None
    if not clean:
        return Found("infected", sha256, "malware", media_type)
    kind = site()["types"][media_type]["kind"]
    preview = copy = b""
    if kind in ("image", "pdf"):
        try:
            preview, copy = await pictures(data, kind)
        except ConfinedRefused:
            return Found("refused", sha256, "cannot_be_opened", media_type)
        except ConfinedOverrun:
            return Found("refused", sha256, "too_much_to_open", media_type)
    state = "unscanned" if scanner is None else "clean"
    return Found(state, sha256, None, media_type, preview, copy)


async def pictures(data: bytes, kind: str) -> tuple[bytes, bytes]:
    """Preview and copy, drawn anew in a confined process; the copy of a PDF is empty."""
    request = {
        "kind": kind,
        "pixels": site()["image_pixels"],
        "side": site()["preview_pixels_a_side"],
    }
    answer = await confined("intake.attachments.previewing", request, data)
    first, second = struct.unpack(">II", answer[:8])
    return answer[8 : 8 + first], answer[8 + first : 8 + first + second]


# -- what is over ------------------------------------------------------------------------------


async def clear(runtime: "Runtime") -> int:
    """Take away what is over: unfinished uploads, quarantine, retention. Answers how many.

    The database forgets the key first, and with it the paper cannot be opened; then the folder
    goes. A folder that nobody stands behind any more goes too, whatever died in between.
    """
    root = sealed_files.root_of(runtime)
    async with runtime.unit_of_work() as uow:
        terms = {
            name: _years_before(uow.now, row["years"])
            for name, row in site()["retention"].items()
            if row["years"] is not None
        }
        rows = await repository.over(
            uow,
            quarantine_from=uow.now - timedelta(days=site()["quarantine_days"]),
            terms=terms,
            limit=_AT_ONCE,
        )
        for row in rows:
            state = "expired" if row["state"] == "uploading" else "deleted"
            await repository.forget(uow, row["attachment_id"], state)
            uow.audit(
                f"attachment.{state}", case_id=row["case_id"], subject=str(row["attachment_id"])
            )
    for row in rows:
        await asyncio.to_thread(sealed_files.remove, root, row["attachment_id"])
    await _sweep(runtime)
    return len(rows)


def _years_before(now: Any, years: int) -> Any:
    day = 28 if (now.month, now.day) == (2, 29) else now.day
    return now.replace(year=now.year - years, day=day)


async def _sweep(runtime: "Runtime") -> None:
    """One nook a round, so that each is looked at some time and no round is long."""
    root = sealed_files.root_of(runtime)
    nook = runtime.state[_NOOK] = runtime.state.get(_NOOK, -1) + 1
    ids = await asyncio.to_thread(lambda: list(islice(sealed_files.ids_in(root, nook), _FOLDERS)))
    if not ids:
        return
    async with runtime.unit_of_work(readonly=True) as uow:
        gone = await repository.without_bytes(uow, ids)
    for id_ in gone:
        await asyncio.to_thread(sealed_files.remove, root, id_)
