"""The job that makes a copy: PDF, or a bundle with every paper and a manifest of hashes."""

import asyncio
import hashlib
import io
import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from intake.attachments import handlers as papers
from intake.attachments import repository as attachments
from intake.attachments import sealed_files
from intake.attachments.model import OPEN_STATES
from intake.exports import repository
from intake.exports.collecting import CaseCopy, TooMuch, acting_for, collect, plain
from intake.keys import keys_of
from intake.tracking.papers import shown
from services.clock import SHANGHAI
from services.documents import TooLong, pdf
from services.errors import NotFound
from services.messaging.failpoints import failpoint
from services.unit_of_work import Actor

if TYPE_CHECKING:
    from services.runtime import Runtime
    from services.unit_of_work import UnitOfWork

MAKE: Final = "make-export"
TABLE: Final = "case_export"
TEMPLATE: Final = (Path(__file__).parent / "case_file.typ").read_text("utf-8")
# Entries that a PDF may hold; a bundle holds more.
MOST_OF_A_PDF: Final = 3000


async def make(_: UUID, payload: dict[str, Any], runtime: "Runtime") -> None:
    """Make one export; a repeat after it was made does nothing.

    The copy is taken in one transaction, so that it shows one instant.
    """
    export_id = UUID(payload["export_id"])
    async with runtime.unit_of_work(readonly=True) as uow:
        row = await repository.one(uow, export_id)
        now = uow.now
    if row is None or row["state"] != "waiting" or row["expires_at"] <= now:
        return
    key = keys_of(runtime).vault.data_key(TABLE, export_id, row["kek_id"], row["wrapped_key"])
    writer = sealed_files.SegmentWriter(
        sealed_files.root_of(runtime), export_id, key, sealed_files.new_name("export")
    )
    sink = Sink(writer)
    reason: str | None = None
    try:
        await _fill(runtime, row, sink)
        await asyncio.to_thread(writer.close)
    except (NotFound, TooMuch, TooLong) as error:
        writer.discard()
        reason = "not_yours" if isinstance(error, NotFound) else "too_much"
    except BaseException:
        writer.discard()
        raise
    failpoint("export.before_ready")
    async with runtime.unit_of_work() as uow:
        if reason is not None:
            await repository.set_failed(uow, export_id, reason)
            return
        await repository.set_ready(
            uow,
            export_id,
            file_name=writer.name,
            size_bytes=writer.size,
            sha256=sink.digest.hexdigest(),
        )


class Sink(io.RawIOBase):
    """What a ``ZipFile`` writes to without ever going back: sealed at once, hashed as it goes."""

    def __init__(self, writer: sealed_files.SegmentWriter) -> None:
        super().__init__()
        self.writer = writer
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes."""
        content = bytes(data)
        self.digest.update(content)
        self.writer.write(content)
        return len(content)


async def _fill(runtime: "Runtime", row: Any, sink: Sink) -> None:
    caller = acting_for(row["organisation"], row["client"])
    actor = Actor(row["client"], row["organisation"], row["acted_by"])
    async with runtime.unit_of_work(actor=actor, organisation=row["organisation"]) as uow:
        copy = await collect(uow, row["case_id"], caller, purpose=row["purpose"])
        made_at = uow.now
    await _progress(runtime, row["export_id"], 30)
    if row["format"] == "pdf":
        sink.write(await as_pdf(copy, row, made_at))
        return
    await _bundle(runtime, row, copy, made_at, sink)


async def _progress(runtime: "Runtime", export_id: UUID, percent: int) -> None:
    async with runtime.unit_of_work() as uow:
        await repository.set_progress(uow, export_id, percent)


# -- one PDF -------------------------------------------------------------------------------------


async def as_pdf(copy: CaseCopy, row: Any, made_at: datetime) -> bytes:
    """The file for people: parties, holders, deadlines, timeline, papers with their hashes."""
    if len(copy.timeline) > MOST_OF_A_PDF:
        raise TooMuch
    data = {
        "number": copy.case["case_number"],
        "made_at": shown(made_at),
        "purpose": row["purpose"],
        "organisation": row["organisation"],
        "case": _facts(copy.case),
        "parties": [_party(party) for party in copy.parties],
        "holders": [
            {
                "since": shown(h["since"]),
                "organisation": _name(h["organisation"]),
                "words": h["words"],
            }
            for h in copy.case["holders"]
        ],
        "deadlines": [
            {
                "words": d["words"],
                "due_on": d["due_on"],
                "state": d["state"],
                "citation": d["citation"],
            }
            for d in copy.case["deadlines"]
        ],
        "timeline": [
            {
                "occurred_at": shown(e["occurred_at"]),
                "recorded_at": shown(e["recorded_at"]),
                "words": e["words"],
                "organisation": _name(e["organisation"]) if e["organisation"] else "",
                "episode": e["episode"],
            }
            for e in copy.timeline
        ],
        "papers": [
            {
                "name": p["name"] or "",
                "given_by": p["given_by"],
                "given_at": shown(p["occurred_at"]),
                "size_bytes": p["size_bytes"],
                "sha256": p["sha256"] or "",
                "state": p["state"],
            }
            for p in copy.papers
        ],
    }
    return await pdf(TEMPLATE, data, made_at=made_at)


def _facts(case: dict[str, Any]) -> list[list[Any]]:
    word = case["words"]
    return [
        ["状态", "stage", f"{word['stage']['zh']} {word['stage']['en']}"],
        ["结果", "outcome", word["outcome"] and f"{word['outcome']['zh']} {word['outcome']['en']}"],
        ["衔接通道", "lane", f"{word['lane']['zh']} {word['lane']['en']}"],
        ["类型", "kind", f"{word['dispute_type']['zh']} {word['dispute_type']['en']}"],
        [
            "来源机构及其编号",
            "source, its number",
            f"{case['organisation']} {case['reference'] or ''}",
        ],
        ["提出请求", "asked", shown(case["request_made_at"])],
        ["收到", "received", shown(case["received_at"])],
        ["登记", "registered", shown(case["registered_at"])],
        ["结案", "closed", shown(case["closed_at"])],
    ]


def _name(organisation: dict[str, Any]) -> str:
    return str(organisation["name_zh"] or organisation["code"])


def _party(party: dict[str, Any]) -> dict[str, Any]:
    identity = party.get("identity") or {}
    return {
        "words": party["words"],
        "name": party.get("name") or "",
        "identity": str(identity.get("number") or ""),
        "phone": party.get("phone") or "",
        "address": party.get("address") or "",
        "left_at": shown(party["left_at"]),
    }


# -- a bundle ------------------------------------------------------------------------------------


class Bundle:
    """A zip whose members are hashed as they are written; the manifest comes last."""

    def __init__(self, sink: Sink, made_at: datetime) -> None:
        self._zip = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED)
        self._when = made_at.astimezone(SHANGHAI).timetuple()[:6]
        self.members: list[dict[str, Any]] = []

    def add(self, name: str, chunks: Any, **about: Any) -> None:
        """One member from chunks of bytes."""
        digest, size = hashlib.sha256(), 0
        entry = zipfile.ZipInfo(name, self._when)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._zip.open(entry, "w", force_zip64=True) as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        self.members.append(
            {"name": name, "size_bytes": size, "sha256": digest.hexdigest(), **about}
        )

    def close(self, about: dict[str, Any]) -> None:
        """Write the manifest and end the zip."""
        manifest = {**about, "members": self.members}
        text = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
        self._zip.writestr(zipfile.ZipInfo("manifest.json", self._when), text)
        self._zip.close()


async def _bundle(
    runtime: "Runtime", row: Any, copy: CaseCopy, made_at: datetime, sink: Sink
) -> None:
    bundle = Bundle(sink, made_at)
    bundle.add("case.json", [_json(copy.case)], about="the case file")
    bundle.add("parties.json", [_json(copy.parties)], about="the parties, as far as you may know")
    lines = (
        json.dumps(plain(entry), ensure_ascii=False).encode() + b"\n" for entry in copy.timeline
    )
    bundle.add("timeline.ndjson", lines, about="what happened, oldest record first")
    bundle.add("papers.json", [_json(copy.papers)], about="the papers, with their hashes")
    for place, paper in enumerate(copy.papers, 1):
        async with runtime.unit_of_work(readonly=True) as uow:
            await _add_paper(uow, bundle, paper, place, row["client"])
        await _progress(runtime, row["export_id"], 30 + 60 * place // len(copy.papers))
    bundle.close(
        {
            "case_number": copy.case["case_number"],
            "case_id": str(row["case_id"]),
            "organisation": row["organisation"],
            "purpose": row["purpose"],
            "made_at": plain(made_at),
            "as_of": copy.case["as_of"],
            "schema": "urn:liandiao:bundle:1",
        }
    )


async def _add_paper(
    uow: "UnitOfWork", bundle: Bundle, paper: dict[str, Any], place: int, client: str
) -> None:
    """A paper's bytes: a picture of somebody else's as its copy without metadata."""
    row = await attachments.one(uow, paper["attachment_id"])
    if row is None or row["state"] not in OPEN_STATES:
        return
    form = "original" if row["client"] == client else "copy"
    found = await papers.content(uow, row, form)
    ending = Path(found.name).suffix.lower()
    if found.media_type != row["media_type"]:
        ending = {"image/png": ".png", "image/jpeg": ".jpg"}[found.media_type]
    await asyncio.to_thread(
        bundle.add,
        f"papers/{place:04d}{ending}",
        found.chunks,
        attachment_id=str(row["attachment_id"]),
        original_sha256=row["sha256"],
        form=form,
    )


def _json(value: Any) -> bytes:
    return json.dumps(plain(value), ensure_ascii=False, indent=1).encode()


async def clear(runtime: "Runtime") -> int:
    """Take away exports whose day is over. Answers how many."""
    async with runtime.unit_of_work() as uow:
        gone = await repository.end_old(uow, uow.now)
    for export_id in gone:
        await asyncio.to_thread(sealed_files.remove, sealed_files.root_of(runtime), export_id)
    return len(gone)
