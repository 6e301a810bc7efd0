"""Posting under fire: the process dies before the commit, after it, and during the answer."""

import asyncio
from pathlib import Path

import httpx
import pytest

from services.messaging import failpoints
from tests.crash.checks import size
from tests.fixtures.messaging import Crash, crash
from tests.fixtures.servers import PostgresServer
from tests.intake.world import COURT, SENDER, Intake, bearer, intake_on, referral, token

pytestmark = pytest.mark.postgres
PLACES = ("unit_of_work.before_commit", "unit_of_work.after_commit", "http.during_answer")


async def post(intake: Intake, number: int) -> httpx.Response | None:
    """One try of the referral with its own key; nothing when the process died."""
    headers = {**bearer(token(COURT, *SENDER)), "Idempotency-Key": f"crash-key-{number:010d}"}
    body = referral(f"（2026）浙0681民诉前调{number}号")
    try:
        return await intake.http.post("/v1/referrals", json=body, headers=headers)
    except (Crash, BaseExceptionGroup):
        return None


async def test_each_key_makes_one_case_though_the_process_dies_around_each_commit(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    database = await postgres_server.fresh_database("intake")
    acknowledged: dict[int, str] = {}
    try:
        for start in range(0, size(45, 510), 15):
            async with intake_on(database.url, tmp_path / "keys") as (runtime, http):
                intake = Intake(runtime, http, database.superuser_url)
                for number in range(start, start + 15):
                    failpoints.arm(PLACES[number % 3], 1, crash)
                    assert await post(intake, number) is None, "it was to die here"
                    failpoints.disarm()
                answers = await asyncio.gather(
                    *(post(intake, number) for number in range(start, start + 15))
                )
                for number, answer in enumerate(answers, start):
                    assert answer is not None
                    assert answer.status_code == 201, answer.text
                    replayed = answer.headers.get("Idempotency-Replayed") == "true"
                    assert replayed == (number % 3 > 0), number
                    acknowledged[number] = answer.json()["case_id"]
        async with intake_on(database.url, tmp_path / "keys") as (runtime, http):
            intake = Intake(runtime, http, database.superuser_url)
            for number, case_id in acknowledged.items():
                again = await post(intake, number)
                assert again is not None
                assert again.json()["case_id"] == case_id
                told = [event["type"] for event in await intake.events(case_id)]
                assert told.count("liandiao.case.registered.v1") == 1
            counts = await intake.counts()
    finally:
        failpoints.disarm()
        await postgres_server.drop(database)
    assert counts["referral"] == len(acknowledged) == len(set(acknowledged.values()))
    assert counts["idempotency"] == len(acknowledged)
