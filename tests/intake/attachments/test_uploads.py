"""Papers come in parts, whatever breaks on the way (checklist 1.19: resumable, hash at arrival)."""

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from intake.attachments import jobs, sealed_files
from services.messaging import failpoints
from services.messaging.jobs import run_due_jobs
from tests.intake.attachments.handing_in import TEXT, Hand, metadata, sha256
from tests.intake.test_cases import a_case, party_token
from tests.intake.world import POLICE, Intake

pytestmark = pytest.mark.postgres


def files(intake: Intake) -> list[Path]:
    root = sealed_files.root_of(intake.runtime)
    return sorted(path for path in root.rglob("*") if path.is_file())


async def test_a_paper_comes_in_parts_and_head_tells_where_to_go_on(intake: Intake) -> None:
    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    data = b"a" * 100_000 + b"b" * 70_000

    announced = await hand.announce(data, "证据.txt", sha256=sha256(data))
    path = announced.headers["location"]
    first = await hand.part(path, data[:100_000], 0)
    stands = await intake.http.head(path, headers=hand.head)
    wrong = await hand.part(path, data[:10], 0)
    second = await hand.part(path, data[100_000:], 100_000)
    await run_due_jobs(intake.runtime)

    assert announced.headers["upload-expires"].endswith("GMT")
    assert (first.status_code, first.headers["upload-offset"]) == (204, "100000")
    assert (stands.headers["upload-offset"], stands.headers["upload-length"]) == (
        "100000",
        "170000",
    )
    assert (wrong.status_code, second.headers["upload-offset"]) == (409, "170000")
    seen = await hand.read(path)
    assert (seen["state"], seen["sha256"], seen["media_type"]) == (
        "unscanned",
        sha256(data),
        "text/plain",
    )
    assert (await hand.fetch(seen["attachment_id"], purpose="handling")).content == data


async def test_what_came_before_a_connection_broke_counts(intake: Intake) -> None:
    from starlette.requests import ClientDisconnect

    from intake.attachments.handlers import Giver, take_part

    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    path = (await hand.announce(TEXT * 10, "a.txt")).headers["location"]
    attachment_id = UUID(path.rsplit("/", 1)[1])
    client = await intake.runtime.pool.fetchval("SELECT client FROM attachment")

    async def broken() -> AsyncIterator[bytes]:
        yield TEXT
        raise ClientDisconnect

    giver = Giver(client, "330681-CT-0001", None)
    await take_part(intake.runtime, attachment_id, giver, offset=0, body=broken(), checksum=None)
    head = await intake.http.head(path, headers=hand.head)

    assert head.headers["upload-offset"] == str(len(TEXT))
    rest = (TEXT * 10)[len(TEXT) :]
    assert (await hand.part(path, rest, len(TEXT))).status_code == 204


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_a_part_that_is_not_what_its_checksum_says_counts_for_nothing(
    intake: Intake, algorithm: str
) -> None:
    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    path = (await hand.announce(TEXT, "a.txt")).headers["location"]
    value = base64.b64encode(hashlib.new(algorithm, TEXT).digest()).decode()

    changed = await hand.part(path, TEXT[::-1], 0, **{"Upload-Checksum": f"{algorithm} {value}"})
    unknown = await hand.part(path, TEXT, 0, **{"Upload-Checksum": "md5 AAAA"})
    head = await intake.http.head(path, headers=hand.head)
    right = await hand.part(path, TEXT, 0, **{"Upload-Checksum": f"{algorithm} {value}"})

    assert (changed.status_code, changed.json()["code"]) == (460, "checksum-mismatch")
    assert (unknown.status_code, head.headers["upload-offset"]) == (400, "0")
    assert right.status_code == 204
    assert len(files(intake)) == 1


@pytest.mark.parametrize(
    ("place", "stands_at"),
    [
        ("attachment.within_part", 0),
        ("attachment.before_sync", 0),
        ("attachment.after_sync", 0),
        ("unit_of_work.before_commit", 0),
        ("unit_of_work.after_commit", len(TEXT)),
    ],
)
async def test_whatever_dies_in_a_part_what_was_acknowledged_is_there_and_nothing_twice(
    intake: Intake, place: str, stands_at: int
) -> None:
    """checklist 1.19: a kill in the middle of a part."""
    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    whole = TEXT * 3
    path = (await hand.announce(whole, "a.txt")).headers["location"]
    # The reading transaction commits too: the writing one is the second to get there.
    hit = 2 if place == "unit_of_work.after_commit" else 1
    failpoints.arm(place, hit, failpoints.MODES["raise"])

    with pytest.raises(failpoints.Failed):
        await hand.part(path, TEXT, 0)
    failpoints.disarm()
    head = await intake.http.head(path, headers=hand.head)

    assert int(head.headers["upload-offset"]) == stands_at
    assert (await hand.part(path, whole[stands_at:], stands_at)).status_code == 204
    await run_due_jobs(intake.runtime)
    seen = await hand.read(path)
    assert (seen["state"], seen["sha256"]) == ("unscanned", sha256(whole))
    got = await hand.fetch(seen["attachment_id"], purpose="handling")
    assert got.content == whole


@pytest.mark.parametrize("place", ["attachment.before_checked", "attachment.after_checked"])
async def test_a_check_that_dies_is_done_again_and_leaves_nothing_behind(
    intake: Intake, place: str
) -> None:
    """checklist 1.19: a kill in the middle of finishing."""
    from tests.intake.attachments.handing_in import a_photo

    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    photo = a_photo()
    path = (await hand.announce(photo, "a.jpg")).headers["location"]
    await hand.part(path, photo, 0)
    failpoints.arm(place, 1, failpoints.MODES["raise"])

    await run_due_jobs(intake.runtime)
    failpoints.disarm()
    await intake.runtime.pool.execute("UPDATE job SET run_after = now()")
    await run_due_jobs(intake.runtime)

    assert (await hand.read(path))["state"] == "unscanned"
    assert len(files(intake)) == 3  # the part, its preview, its copy


async def test_bytes_on_the_disk_are_sealed_and_a_changed_one_opens_nothing(
    intake: Intake,
) -> None:
    from intake.vault import SealBroken

    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    seen = await hand.give(TEXT, "借条.txt")
    (path,) = files(intake)

    stored = path.read_bytes()
    assert "五万元".encode() not in stored
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))

    with pytest.raises(SealBroken):
        await hand.fetch(seen["attachment_id"], purpose="handling")


@pytest.mark.parametrize(
    ("length", "described", "status", "code"),
    [
        ("52428801", {"filename": "a.pdf"}, 413, "number_too_large"),
        ("0", {"filename": "a.pdf"}, 422, "number_too_small"),
        ("ten", {"filename": "a.pdf"}, 400, "required"),
        ("10", {}, 422, "required"),
        ("10", {"filename": "../a.pdf"}, 422, "format"),
        ("10", {"filename": "a.pdf", "sensitive": "gossip"}, 422, "not_in_list"),
        ("10", {"filename": "a.pdf", "retention": "ever"}, 422, "not_in_list"),
        ("10", {"filename": "a.pdf", "sha256": "x"}, 422, "format"),
        ("10", {"filename": "a.pdf", "colour": "red"}, 422, "unknown_field"),
    ],
)
async def test_a_paper_that_is_announced_wrongly_is_refused_with_its_pointer(
    intake: Intake, length: str, described: dict[str, str], status: int, code: str
) -> None:
    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    head = {**hand.head, "Upload-Length": length, "Upload-Metadata": metadata(**described)}

    answer = await intake.http.post(hand.where, headers=head)

    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["code"] == code
    assert (await intake.counts())["attachment"] == 0


async def test_more_than_was_announced_is_not_taken(intake: Intake) -> None:
    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    path = (await hand.announce(TEXT, "a.txt")).headers["location"]

    assert (await hand.part(path, TEXT + b"!", 0)).status_code == 413
    assert files(intake) == []


async def test_nobody_goes_on_with_the_upload_of_another(intake: Intake) -> None:
    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    path = (await hand.announce(TEXT, "a.txt")).headers["location"]
    party = Hand.of_party(intake, await party_token(intake, done["receipts"][0]))

    stranger = await Hand.of(intake, done["case_id"], POLICE).part(path, TEXT, 0)
    other = await party.part(path.replace("/v1/", "/v1/party/"), TEXT, 0)

    assert (stranger.status_code, other.status_code) == (404, 404)


async def test_an_upload_that_is_not_finished_in_its_time_is_gone_with_its_bytes(
    intake: Intake,
) -> None:
    done, _ = await a_case(intake)
    hand = Hand.of(intake, done["case_id"])
    path = (await hand.announce(TEXT * 2, "a.txt")).headers["location"]
    await hand.part(path, TEXT, 0)

    assert await jobs.clear(intake.runtime) == 0
    intake.runtime.clock.offset = timedelta(hours=24)
    assert await jobs.clear(intake.runtime) == 1

    assert (await intake.http.head(path, headers=hand.head)).status_code == 410
    assert (await hand.part(path, TEXT, len(TEXT))).status_code == 410
    assert files(intake) == []


async def test_a_case_takes_only_as_many_papers_as_the_site_allows(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intake.attachments import model

    done, _ = await a_case(intake)
    monkeypatch.setitem(model.site(), "most_of_a_case", 2)
    monkeypatch.setitem(model.site(), "most_of_a_party", 1)
    party = Hand.of_party(intake, await party_token(intake, done["receipts"][0]))
    hand = Hand.of(intake, done["case_id"])

    answers: list[httpx.Response] = [
        await party.announce(TEXT, "a.txt"),
        await party.announce(TEXT, "b.txt"),
        await hand.announce(TEXT, "c.txt"),
        await hand.announce(TEXT, "d.txt"),
    ]

    assert [answer.status_code for answer in answers] == [201, 409, 201, 409]
