"""What is done with papers: announced, taken in parts, shown, handed out, shared."""

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from starlette.requests import ClientDisconnect

from intake import links
from intake.attachments import repository, sealed_files
from intake.attachments.model import (
    OPEN_STATES,
    Described,
    Viewer,
    described,
    goes_on,
    may_see,
    read_metadata,
    site,
)
from intake.doors import mandates
from intake.handlers import fault
from intake.keys import Keys, keys_of
from services.access import AgencyScope
from services.auth import Caller, PartyCaller
from services.errors import (
    ChecksumMismatch,
    Conflict,
    FieldError,
    Gone,
    Invalid,
    Malformed,
    NotFound,
    TooLarge,
)
from services.ids import new_id
from services.messaging.failpoints import failpoint
from services.unit_of_work import Actor, UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

CHECK: Final = "check-attachment"
_TABLE: Final = "attachment"
_HASHES: Final = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}


@dataclass(frozen=True)
class Giver:
    """Who hands papers in or looks at them: an organisation's client, or a party."""

    client: str
    organisation: str | None
    party_id: UUID | None

    @classmethod
    def of(cls, who: Caller | PartyCaller) -> "Giver":
        """From whoever was authenticated; a representative is not the party that it follows."""
        if isinstance(who, PartyCaller):
            client = (
                f"{who.client_id}:{who.representative}" if who.representative else who.client_id
            )
            return cls(client, None, who.party_id)
        return cls(f"{who.client_id}@{who.organisation}", who.organisation, None)


# -- announcing and taking in ------------------------------------------------------------------


def described_by(header: str, length: str | None) -> tuple[Described, int]:
    """Metadata and length of a paper to come (tus 1.0, creation).

    Raises ``Malformed``, ``Invalid`` with every fault, ``TooLarge``.
    """
    if length is None or not length.isascii() or not length.isdigit() or len(length) > 15:
        raise Malformed(
            errors=[FieldError("#header/Upload-Length", "required", "须为字节数。/ bytes, decimal")]
        )
    try:
        found, faults = described(read_metadata(header))
    except ValueError:
        wrong = FieldError(
            "#header/Upload-Metadata", "format", "须为键和 base64 值。/ keys with base64 values"
        )
        raise Malformed(errors=[wrong]) from None
    if found is None:
        raise Invalid(errors=[fault(f"#header/Upload-Metadata/{m}", rule) for m, rule in faults])
    size = int(length)
    if size > site()["most_bytes"]:
        raise TooLarge(errors=[fault("#header/Upload-Length", "number_too_large")])
    if size == 0:
        raise Invalid(errors=[fault("#header/Upload-Length", "number_too_small")])
    return found, size


async def announce(
    uow: UnitOfWork,
    case_id: UUID,
    giver: Giver,
    given_as: str,
    paper: Described,
    size: int,
    *,
    mandate_id: UUID | None = None,
) -> UUID:
    """Make room for a paper; its bytes follow in parts until ``expires_at``.

    Raises ``NotFound``, ``Conflict`` when the case or the party has as many as the site allows,
    and what ``mandates.in_force`` raises.
    """
    case = await repository.lock_case(uow, case_id)
    if case is None:
        raise NotFound()
    if case["papers"] >= site()["most_of_a_case"]:
        raise Conflict("the case has as many papers as it may")
    if giver.party_id is not None and (
        await repository.count_of_party(uow, giver.party_id) >= site()["most_of_a_party"]
    ):
        raise Conflict("the party has handed in as many papers as it may")
    under = None
    if mandate_id is not None:
        under = await mandates.in_force(uow, case_id, mandate_id)
    keys, attachment_id = keys_of(uow.runtime), new_id()
    sealed = keys.vault.seal(_TABLE, attachment_id, {"name": paper.name})
    await repository.add(
        uow,
        {
            "attachment_id": attachment_id,
            "case_id": case_id,
            "given_by": giver.organisation or "party",
            "given_as": given_as,
            "party_id": giver.party_id,
            "client": giver.client,
            "mandate_id": mandate_id,
            "sensitive": paper.sensitive,
            "retention": paper.retention,
            "size_bytes": size,
            "declared_sha256": paper.sha256,
            "kek_id": sealed.kek_id,
            "wrapped_key": sealed.wrapped_key,
            "name": sealed.fields["name"],
            "occurred_at": uow.now,
            "expires_at": uow.now + timedelta(hours=site()["upload_hours"]),
        },
    )
    uow.audit(
        "attachment.announced",
        case_id=case_id,
        subject=str(attachment_id),
        detail=mandates.mark(under),
    )
    return attachment_id


async def own_upload(uow: UnitOfWork, attachment_id: UUID, giver: Giver) -> Any:
    """A paper that this very client hands in. Raises ``NotFound``."""
    row = await repository.one(uow, attachment_id)
    if row is None or row["client"] != giver.client:
        raise NotFound()
    return row


async def take_part(
    runtime: "Runtime",
    attachment_id: UUID,
    giver: Giver,
    *,
    offset: int,
    body: AsyncIterator[bytes],
    checksum: str | None,
) -> Any:
    """Take the next part of a paper; what came before a connection broke counts, too.

    The bytes go to a segment of their own, sealed; it is on the disk before the database says that
    it counts, and of two that begin at one place the first wins. So whatever dies on the way, what
    was acknowledged is there and nothing is there twice. Raises ``NotFound``, ``Gone``,
    ``Conflict`` for another offset, ``TooLarge``, ``ChecksumMismatch``.
    """
    expected = _expected(checksum)
    async with runtime.unit_of_work(readonly=True) as uow:
        row = await own_upload(uow, attachment_id, giver)
        if row["state"] in ("expired", "refused", "deleted") or row["expires_at"] <= uow.now:
            raise Gone()
        if row["mandate_revoked"]:
            raise Conflict(errors=[fault(mandates.HEADER, "mandate_revoked")])
    if row["state"] != "uploading" or row["received_bytes"] != offset:
        raise Conflict("the offset is not where the upload stands")
    keys, root = keys_of(runtime), sealed_files.root_of(runtime)
    name = sealed_files.new_name("part")
    writer = sealed_files.SegmentWriter(root, attachment_id, file_key(keys, row), name)
    try:
        complete = await _write(writer, body, row["size_bytes"] - offset, expected)
        if writer.size == 0 or (expected and not complete):
            writer.discard()
            return row
        failpoint("attachment.before_sync")
        await asyncio.to_thread(writer.close)
    except BaseException:
        writer.discard()
        raise
    failpoint("attachment.after_sync")
    # From here on the database may count the segment, whatever is raised: it is not taken away.
    # One that does not count goes with the check, or with the upload's end.
    actor = Actor(giver.client, giver.organisation)
    async with runtime.unit_of_work(actor=actor) as uow:
        taken = await repository.count_part(
            uow,
            attachment_id,
            offset=offset,
            size=writer.size,
            file_name=name,
            most=site()["most_parts"],
        )
        if taken is None:
            raise Conflict("another part was first, or there are too many")
        if taken["state"] == "received":
            uow.enqueue(CHECK, {"attachment_id": str(attachment_id)}, key=f"check:{name}")
            uow.audit("attachment.received", case_id=row["case_id"], subject=str(attachment_id))
    return {**dict(row), "received_bytes": taken["received_bytes"], "state": taken["state"]}


def _expected(checksum: str | None) -> tuple[str, bytes] | None:
    """``Upload-Checksum`` of tus 1.0: algorithm and base64. Raises ``Malformed``."""
    if checksum is None:
        return None
    algorithm, _, text = checksum.partition(" ")
    try:
        value = base64.b64decode(text, validate=True)
    except binascii.Error:
        value = b""
    if algorithm not in _HASHES or not value:
        wrong = FieldError(
            "#header/Upload-Checksum",
            "format",
            "须为 sha1 或者 sha256 及其 base64 值。/ sha1 or sha256, and base64",
        )
        raise Malformed(errors=[wrong])
    return algorithm, value


async def _write(
    writer: sealed_files.SegmentWriter,
    body: AsyncIterator[bytes],
    room: int,
    expected: tuple[str, bytes] | None,
) -> bool:
    """Write what comes; False when the connection broke. The checksum is of the whole part."""
    digest = _HASHES[expected[0]]() if expected else None
    try:
        async for chunk in body:
            if writer.size + len(chunk) > room:
                raise TooLarge()
            writer.write(chunk)
            if digest is not None:
                digest.update(chunk)
            failpoint("attachment.within_part")
    except ClientDisconnect:
        return False
    if expected and digest and not hmac.compare_digest(digest.digest(), expected[1]):
        raise ChecksumMismatch()
    return True


def file_key(keys: Keys, row: Any) -> bytes:
    """The key of a paper's segments: that of its row, unwrapped."""
    return keys.vault.data_key(_TABLE, row["attachment_id"], row["kek_id"], row["wrapped_key"])


# -- seeing ------------------------------------------------------------------------------------


async def viewer(uow: UnitOfWork, scope: AgencyScope, case_id: UUID, holder: str) -> Viewer:
    """The organisation before this case."""
    roles = await scope.roles(uow, case_id)
    return Viewer(scope.organisation, frozenset(roles), holder == scope.organisation)


def sees(who: Viewer, row: Any) -> bool:
    """Whether the organisation may see the paper."""
    return may_see(
        who,
        given_by=row["given_by"],
        given_as=row["given_as"],
        sensitive=row["sensitive"] is not None,
        shared_with=frozenset(row["shared_with"]),
    )


async def seen_by(uow: UnitOfWork, attachment_id: UUID, who: Caller | PartyCaller) -> Any:
    """A paper that the caller may see. Raises ``NotFound``.

    Who gave it sees it as long as it takes part in the case; a party sees its own alone.
    """
    row = await repository.one(uow, attachment_id)
    if row is None:
        raise NotFound()
    if isinstance(who, PartyCaller):
        if row["party_id"] != who.party_id:
            raise NotFound()
        return row
    standing = await viewer(uow, AgencyScope(who), row["case_id"], row["holder"])
    if not standing.roles or not sees(standing, row):
        raise NotFound()
    return row


def view(keys: Keys, row: Any, *, named: bool) -> dict[str, Any]:
    """A paper as REST shows it; its name only where a purpose was stated."""
    found = {k: v for k, v in dict(row).items() if k != "name"}
    name = None
    if named and row["name"] is not None and row["wrapped_key"] is not None:
        opened = keys.vault.open(
            _TABLE, row["attachment_id"], row["kek_id"], row["wrapped_key"], {"name": row["name"]}
        )
        name = opened["name"]
    return {
        **found,
        "name": name,
        "has_preview": row["preview_name"] is not None,
        "kept_until": goes_on(row["retention"], row["closed_at"]),
    }


def link_for(
    uow: UnitOfWork, row: Any, who: Caller | PartyCaller, *, purpose: str, form: str
) -> tuple[str, Any]:
    """A short link to a paper in one form; in the audit. Raises ``Conflict``, ``Gone``.

    A picture is handed out as a copy without metadata. The original, whose hash counts as
    evidence, goes to whoever gave it, and for verification.
    """
    _require_open(row)
    giver = Giver.of(who)
    own = row["client"] == giver.client
    if form == "original" and not own and purpose != "verification" and row["copy_name"]:
        raise Conflict("the original of a picture is opened for verification alone")
    if form == "preview" and row["preview_name"] is None:
        raise Conflict("this kind of paper has no preview")
    until = uow.now + timedelta(seconds=site()["link_seconds"])
    link = links.Link(
        "attachment",
        str(row["attachment_id"]),
        form,
        giver.client,
        purpose,
        int(until.timestamp()),
    )
    return links.make(keys_of(uow.runtime), link), until


def _require_open(row: Any) -> None:
    if row["state"] in ("uploading", "received"):
        raise Conflict("the paper is not checked yet")
    if row["state"] not in OPEN_STATES:
        raise Gone()


@dataclass(frozen=True)
class Content:
    """What a link opens: bytes to be streamed, their type, size and name."""

    chunks: Iterator[bytes]
    media_type: str
    size: int
    name: str


async def content(uow: UnitOfWork, row: Any, form: str) -> Content:
    """The bytes of a paper in one form, opened as they are read. Raises ``Conflict``, ``Gone``."""
    _require_open(row)
    keys = keys_of(uow.runtime)
    segments = await repository.parts(uow, row["attachment_id"])
    media_type, size = row["media_type"], row["size_bytes"]
    for wanted, name, length in (
        ("preview", row["preview_name"], row["preview_bytes"]),
        ("copy", row["copy_name"], row["copy_bytes"]),
    ):
        if form == wanted and name is not None:
            segments, size = [(name, length)], length
            media_type = "image/png" if name.startswith("png") else "image/jpeg"
    chunks = sealed_files.read(
        sealed_files.root_of(uow.runtime), row["attachment_id"], file_key(keys, row), segments
    )
    return Content(chunks, media_type, size, view(keys, row, named=True)["name"])


# -- sharing -----------------------------------------------------------------------------------


async def share(
    uow: UnitOfWork,
    row: Any,
    *,
    organisation: str,
    basis: str,
    party_id: UUID | None,
    told_by: str,
    consented_on: date | None,
) -> Any:
    """One more organisation may see a paper, by separate consent or on a legal basis.

    个人信息保护法 23, 28-30 (D-03, D-05). The organisation still needs a part in the case to look.
    Raises ``Invalid``.
    """
    if uow.runtime.directory.organisation(organisation) is None:
        raise Invalid(errors=[fault("/organisation", "organisation_unknown")])
    if party_id is not None and not await repository.is_party(uow, row["case_id"], party_id):
        raise Invalid(errors=[fault("/party_id", "party_unknown")])
    await repository.share(
        uow,
        row["attachment_id"],
        organisation=organisation,
        basis=basis,
        party_id=party_id,
        told_by=told_by,
        consented_on=consented_on,
    )
    uow.audit(
        "attachment.shared",
        case_id=row["case_id"],
        subject=str(row["attachment_id"]),
        detail={
            "with": organisation,
            "basis": basis,
            "parties": await repository.party_ids(uow, row["case_id"]),
        },
    )
    shared = await repository.share_of(uow, row["attachment_id"], organisation)
    return shared and dict(shared)


async def end_share(
    uow: UnitOfWork,
    row: Any,
    organisation: str,
    *,
    party_id: UUID | None,
    mandate_id: UUID | None = None,
) -> Any:
    """A consent is withdrawn, or a basis is gone: never refused, at once.

    Raises ``NotFound``, ``Invalid`` for what rests on no party's consent, and what
    ``mandates.in_force`` raises where the share still stands.
    """
    shared, under = await repository.share_of(uow, row["attachment_id"], organisation), None
    if mandate_id is not None and shared is not None and shared["ended_at"] is None:
        if shared["party_id"] is None:
            mandates.not_for_a_mandate(mandate_id)
        under = await mandates.in_force(
            uow, row["case_id"], mandate_id, party_id=shared["party_id"]
        )
    ended = await repository.end_share(
        uow, row["attachment_id"], organisation, party_id=party_id, mandate_id=mandate_id
    )
    if ended is None:
        raise NotFound()
    uow.audit(
        "attachment.unshared",
        case_id=row["case_id"],
        subject=str(row["attachment_id"]),
        detail={"with": organisation, **(mandates.mark(under) or {})},
    )
    return ended
