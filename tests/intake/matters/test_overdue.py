"""A matter whose last day is over is told to who must answer it: once, and to nobody else."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from intake.matters import repository
from intake.matters.handlers import deliver
from intake.matters.overdue import AT_ONCE, tell_missed
from services.messaging import failpoints
from services.runtime import Runtime
from tests.intake.matters.test_matters import DISCIPLINE, HOTLINE, Desk, ago, desk  # noqa: F401
from tests.intake.world import POLICE

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


async def told(runtime: Runtime) -> list[dict[str, Any]]:
    """What intake has said of missed answers, in order."""
    rows = await runtime.pool.fetch(
        """SELECT convert_from(data, 'UTF8')::jsonb AS data, key FROM outbox
           WHERE type = 'liandiao.matter.answer-missed.v1' ORDER BY id"""
    )
    assert all(row["key"] == row["data"]["matter_id"] for row in rows)
    return [row["data"] for row in rows]


async def test_who_must_answer_is_told_once_the_longest_overdue_first(
    desk: Desk,  # noqa: F811
) -> None:
    """Checklist 1.5: pushed when it becomes overdue; neither its kind nor a word of it is said."""
    runtime = desk.intake.runtime
    advice = await desk.taken("advice", received_at=ago(days=20))
    accused = {"about": {"organisation": POLICE}}
    accusation = await desk.taken("accusation", received_at=ago(days=40), **accused)
    await desk.taken("advice", received_at=ago(minutes=5))

    assert await tell_missed(runtime) == 2
    assert await tell_missed(runtime) == 0

    first, second = await told(runtime)
    assert (first["matter_id"], first["organisation"]) == (accusation["matter_id"], DISCIPLINE)
    assert (second["matter_id"], second["organisation"]) == (advice["matter_id"], HOTLINE)
    assert set(first) == {"case_id", "matter_id", "organisation", "due_at", "missed_at"}
    version = await runtime.pool.fetchval(
        "SELECT version FROM matter WHERE matter_id = $1", UUID(advice["matter_id"])
    )
    assert version == 1  # whoever is about to answer it is not in the way


async def test_it_is_overdue_with_the_end_of_its_last_day_and_not_before(
    desk: Desk,  # noqa: F811
) -> None:
    """Checklist 1.5: `due_at` is exclusive, to the microsecond."""
    taken = UUID((await desk.taken("advice"))["matter_id"])
    async with desk.intake.runtime.unit_of_work() as uow:
        for later, found in ((timedelta(microseconds=1), []), (timedelta(0), [taken])):
            await uow.db.execute(
                "UPDATE matter SET due_at = $2 WHERE matter_id = $1", taken, uow.now + later
            )
            rows = await repository.take_missed(uow, 10)
            assert [row["matter_id"] for row in rows] == found


async def test_what_is_answered_or_held_by_nobody_is_not_told(desk: Desk) -> None:  # noqa: F811
    """Checklist 1.5: an answer ends it; a matter without an organ is told when it has one."""
    runtime = desk.intake.runtime
    answered = await desk.taken("advice", received_at=ago(days=20))
    path = f"/v1/matters/{answered['matter_id']}/answers"
    await desk.post(path, {"text": "样"}, HOTLINE, **{"If-Match": '"1"'})
    organ = runtime.directory.entries.pop(f"organisation:{DISCIPLINE}")
    accused = {"about": {"organisation": POLICE}}
    await desk.taken("accusation", received_at=ago(days=40), **accused)

    assert await tell_missed(runtime) == 0
    runtime.directory.entries[f"organisation:{DISCIPLINE}"] = organ
    await deliver(runtime)
    assert await tell_missed(runtime) == 1

    (said,) = await told(runtime)
    assert said["organisation"] == DISCIPLINE


async def test_after_a_crash_and_a_long_pause_each_is_told_and_none_twice(
    desk: Desk,  # noqa: F811
) -> None:
    """Checklist 1.5: claimed by lateness from an index, more than one round's worth."""
    runtime = desk.intake.runtime
    await desk.taken("advice", received_at=ago(days=20))
    names = """number, kind, organisation, fingerprint, place, channel, holder, reachable, kek_id,
      wrapped_key, content, receipt_hash, request_made_at, received_at, due_at"""
    await runtime.pool.execute(
        f"""INSERT INTO matter (matter_id, {names})
            SELECT gen_random_uuid(), {names.replace("number", "number || '-' || n", 1)}
            FROM matter, generate_series(1, $1) n""",
        AT_ONCE,
    )
    failpoints.arm("unit_of_work.before_commit", 1, _die)
    with pytest.raises(Died):
        await tell_missed(runtime)
    assert await told(runtime) == []

    rounds = [await tell_missed(runtime) for _ in range(3)]

    assert rounds == [AT_ONCE, 1, 0]
    assert len({each["matter_id"] for each in await told(runtime)}) == AT_ONCE + 1


class Died(BaseException):
    """The process ends here."""


def _die() -> None:
    raise Died
