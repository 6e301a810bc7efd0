"""The importer as a process of its own: killed in the middle, another goes on; alone, it ends."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from intake.imports.supervising import COMMAND
from tests.intake.imports.world import court_rows, shown, upload
from tests.intake.world import Intake, directory

pytestmark = pytest.mark.postgres
ROOT = Path(__file__).parents[3]


async def known_to_processes(intake: Intake) -> None:
    """The directory in the database, where other processes read it."""
    await intake.runtime.pool.executemany(
        """INSERT INTO directory_entry (key, version, value) VALUES ($1, 1, $2)
           ON CONFLICT (key) DO NOTHING""",
        list(directory().entries.items()),
    )


@asynccontextmanager
async def importing(intake: Intake, **given: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The importer's process, as intake's work process starts it."""
    settings = intake.runtime.settings
    environ = os.environ | {
        "INTAKE_DATABASE_URL": settings.database_url.get_secret_value(),
        "LIANDIAO_KEYS_DIR": str(settings.keys_dir),
        "INTAKE_IMPORT_BATCH": "20",
        "LIANDIAO_LOG_LEVEL": "WARNING",
        **given,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, *COMMAND, cwd=ROOT, env=environ, stdin=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(intake: Intake, import_id: str, rows: int) -> int:
    """Wait until so many rows are counted."""
    async with asyncio.timeout(200):
        while True:
            found = await shown(intake, import_id)
            if found["rows_read"] >= rows:
                return int(found["rows_read"])
            await asyncio.sleep(0.02)


async def test_a_killed_importer_is_followed_by_one_that_does_the_rest_once(
    intake: Intake,
) -> None:
    """Checklist 1.15, 1.33: resumable, beside the process that serves."""
    await known_to_processes(intake)
    import_id = (await upload(intake, court_rows(600), mode="run")).json()["import_id"]

    async with importing(intake) as first:
        done = await until(intake, import_id, 60)
        family = psutil.Process(first.pid).children(recursive=True)
        first.kill()
        await first.wait()
        _, left = await asyncio.to_thread(psutil.wait_procs, family, 20)
    await intake.runtime.pool.execute("UPDATE import_run SET held_until = now()")
    async with importing(intake) as second:
        await until(intake, import_id, 600)
        assert second.stdin is not None
        second.stdin.close()
        async with asyncio.timeout(30):
            assert await second.wait() == 0

    assert len(family) >= 2
    assert left == []
    assert done < 600
    counts = await intake.counts()
    assert (counts["referral"], counts["case_stream"], counts["import_row"]) == (600, 600, 600)
    events = await intake.runtime.pool.fetchval("SELECT count(*) FROM outbox WHERE topic = 'cases'")
    assert events == 1200
