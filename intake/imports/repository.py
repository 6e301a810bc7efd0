"""All SQL of imports. A run is shown to the organisation that sent it, and to nobody else."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from intake.imports.model import RowResult
from services.access import AgencyScope
from services.unit_of_work import LIVE, UnitOfWork

Row = asyncpg.Record
Database = Any  # asyncpg's connection, the pool, or the pool's proxy of a connection

HELD_SECONDS: Final = 30

_RUN: Final = """
SELECT r.import_id, r.file_id, r.run_of, r.organisation, r.organisations, r.connection,
  r.client_id, r.acted_by, r.dry, r.layout, r.drop_name, r.state, r.fault, r.fault_line,
  r.rows_read, r.accepted, r.warned, r.repeated, r.refused, r.bytes_read, r.started_at,
  r.finished_at, r.recorded_at, f.media_type, f.size_bytes, f.kek_id, f.wrapped_key, f.delete_at,
  (SELECT n.import_id FROM import_run n WHERE n.run_of = r.import_id) AS made_real_by
FROM import_run r JOIN import_file f USING (file_id)
"""


# -- files -----------------------------------------------------------------------------------------


async def add_file(
    db: Database,
    file_id: UUID,
    *,
    kek_id: str,
    wrapped_key: bytes,
    media_type: str,
    delete_at: datetime,
) -> None:
    """A file whose parts are still to come; without them it is deleted in time."""
    await db.execute(
        """INSERT INTO import_file (file_id, kek_id, wrapped_key, media_type, delete_at)
           VALUES ($1, $2, $3, $4, $5)""",
        file_id,
        kek_id,
        wrapped_key,
        media_type,
        delete_at,
    )


async def add_part(db: Database, file_id: UUID, ordinal: int, data: bytes) -> None:
    """One sealed part."""
    await db.execute(
        "INSERT INTO import_part (file_id, ordinal, data) VALUES ($1, $2, $3)",
        file_id,
        ordinal,
        data,
    )


async def part(db: Database, file_id: UUID, ordinal: int) -> bytes | None:
    """One sealed part; None when the file is deleted."""
    found = await db.fetchval(
        "SELECT data FROM import_part WHERE file_id = $1 AND ordinal = $2", file_id, ordinal
    )
    return None if found is None else bytes(found)


async def finish_file(
    db: Database, file_id: UUID, *, size: int, sha256: bytes, delete_at: datetime
) -> None:
    """The file is whole."""
    await db.execute(
        "UPDATE import_file SET size_bytes = $2, sha256 = $3, delete_at = $4 WHERE file_id = $1",
        file_id,
        size,
        sha256,
        delete_at,
    )


async def keep_file(db: Database, file_id: UUID, delete_at: datetime) -> None:
    """The file is deleted then."""
    await db.execute("UPDATE import_file SET delete_at = $2 WHERE file_id = $1", file_id, delete_at)


async def delete_files(db: Database, now: datetime) -> int:
    """Delete what is over: the parts, the refused rows, and the key that opens any copy of them.

    Never a file that a run still needs.
    """
    status = await db.execute(
        """WITH over AS (
             SELECT file_id FROM import_file f WHERE wrapped_key IS NOT NULL AND delete_at < $1
               AND NOT EXISTS (SELECT 1 FROM import_run r WHERE r.file_id = f.file_id
                 AND r.state IN ('queued', 'running'))
             LIMIT 20 FOR UPDATE SKIP LOCKED
           ), parts AS (
             DELETE FROM import_part p USING over WHERE p.file_id = over.file_id
           ), refusals AS (
             DELETE FROM import_refusal x USING import_run r, over
             WHERE r.file_id = over.file_id AND x.import_id = r.import_id
           )
           UPDATE import_file f SET wrapped_key = NULL FROM over WHERE f.file_id = over.file_id""",
        now,
    )
    return int(status.split()[-1])


async def shred(uow: UnitOfWork, case_id: UUID) -> list[bytes]:
    """Delete the uploads in which a referral of the case was a row, unless one is being read.

    Answers the wrapped keys that are to be destroyed. Few uploads stand at a time: they are deleted
    some days after their end.
    """
    rows = await uow.db.fetch(
        """WITH old AS (
             SELECT f.file_id, f.wrapped_key FROM import_file f
             WHERE f.wrapped_key IS NOT NULL
               AND EXISTS (SELECT 1 FROM import_run r JOIN import_row w USING (import_id)
                 JOIN referral x ON x.referral_id = w.referral_id
                 WHERE r.file_id = f.file_id AND x.case_id = $1)
               AND NOT EXISTS (SELECT 1 FROM import_run r WHERE r.file_id = f.file_id
                 AND r.state IN ('queued', 'running'))
             FOR UPDATE
           ), parts AS (
             DELETE FROM import_part p USING old WHERE p.file_id = old.file_id
           ), refusals AS (
             DELETE FROM import_refusal x USING import_run r, old
             WHERE r.file_id = old.file_id AND x.import_id = r.import_id
           ), gone AS (
             UPDATE import_file f SET wrapped_key = NULL FROM old WHERE f.file_id = old.file_id
           )
           SELECT wrapped_key FROM old""",
        case_id,
    )
    return [bytes(row["wrapped_key"]) for row in rows]


# -- runs ------------------------------------------------------------------------------------------


async def add_run(
    uow: UnitOfWork,
    import_id: UUID,
    *,
    file_id: UUID,
    organisation: str,
    organisations: Sequence[str],
    connection: str,
    client_id: str,
    dry: bool,
    layout: str | None,
    run_of: UUID | None = None,
    drop_name: str | None = None,
) -> bool:
    """A run that waits for its turn; False when the dry run, or the dropped file, has one."""
    added = await uow.db.fetchval(
        """INSERT INTO import_run (import_id, file_id, run_of, organisation, organisations,
             connection, client_id, acted_by, dry, layout, drop_name, recorded_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
           ON CONFLICT DO NOTHING RETURNING true""",
        import_id,
        file_id,
        run_of,
        organisation,
        list(organisations),
        connection,
        client_id,
        uow.actor.acted_by,
        dry,
        layout,
        drop_name,
        uow.now,
    )
    return bool(added)


async def waiting(db: Database, organisation: str) -> int:
    """How many runs of the organisation are not at their end."""
    return int(
        await db.fetchval(
            """SELECT count(*) FROM import_run
               WHERE organisation = $1 AND state IN ('queued', 'running')""",
            organisation,
        )
    )


async def own_run(
    uow: UnitOfWork, scope: AgencyScope, import_id: UUID, *, lock: bool = False
) -> Row | None:
    """A run of the caller's own organisation."""
    return await uow.db.fetchrow(
        f"{_RUN} WHERE r.import_id = $1 AND r.organisation = $2"
        + (" FOR UPDATE OF r" if lock else ""),
        import_id,
        scope.organisation,
    )


async def own_runs(
    uow: UnitOfWork, scope: AgencyScope, *, before: UUID | None, limit: int
) -> list[Row]:
    """The caller's runs, youngest first."""
    rows: list[Row] = await uow.db.fetch(
        f"""{_RUN} WHERE r.organisation = $1
          AND r.import_id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY r.import_id DESC LIMIT {int(limit)}""",
        scope.organisation,
        before,
    )
    return rows


async def run(db: Database, import_id: UUID) -> Row | None:
    """A run, for the process that works on it."""
    found: Row | None = await db.fetchrow(f"{_RUN} WHERE r.import_id = $1", import_id)
    return found


async def dropped(db: Database, drop_name: str) -> Row | None:
    """The run of a dropped file."""
    found: Row | None = await db.fetchrow(f"{_RUN} WHERE r.drop_name = $1", drop_name)
    return found


async def cancel(uow: UnitOfWork, import_id: UUID) -> bool:
    """End a run where it stands; False when it was at its end."""
    status = await uow.db.execute(
        """UPDATE import_run SET state = 'cancelled', finished_at = $2
           WHERE import_id = $1 AND state IN ('queued', 'running')""",
        import_id,
        uow.now,
    )
    return bool(status.endswith(" 1"))


async def due(db: Database) -> bool:
    """Whether a run waits that nobody works on."""
    return bool(
        await db.fetchval(
            """SELECT EXISTS (SELECT 1 FROM import_run WHERE state IN ('queued', 'running')
                 AND (held_until IS NULL OR held_until < clock_timestamp()))"""
        )
    )


async def claim(db: Database, holder: str, now: datetime) -> UUID | None:
    """Take the oldest run that nobody works on; its id. Another may take it once that lapses."""
    found: UUID | None = await db.fetchval(
        """UPDATE import_run SET state = 'running', holder = $1,
             held_until = clock_timestamp() + make_interval(secs => $3),
             started_at = coalesce(started_at, $2)
           WHERE import_id = (
             SELECT import_id FROM import_run WHERE state IN ('queued', 'running')
               AND (held_until IS NULL OR held_until < clock_timestamp() OR holder = $1)
             ORDER BY recorded_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING import_id""",
        holder,
        now,
        HELD_SECONDS,
    )
    return found


async def let_go(db: Database, holder: str) -> None:
    """Whoever comes next need not wait for what this process held."""
    await db.execute("UPDATE import_run SET held_until = NULL WHERE holder = $1", holder)


async def choose_layout(db: Database, import_id: UUID, layout: str) -> None:
    """The layout that was found to fit."""
    await db.execute("UPDATE import_run SET layout = $2 WHERE import_id = $1", import_id, layout)


async def advance(
    db: Database,
    import_id: UUID,
    holder: str,
    *,
    before: int,
    results: Sequence[RowResult],
    bytes_read: int,
) -> bool:
    """Count rows as done; False when somebody else did them, or the run was cancelled.

    The fence of every batch: what is not counted here is rolled back with its transaction.
    """

    def count(outcome: str) -> int:
        return sum(each.outcome == outcome for each in results)

    status = await db.execute(
        """UPDATE import_run SET rows_read = rows_read + $4, accepted = accepted + $5,
             repeated = repeated + $6, refused = refused + $7, warned = warned + $8,
             bytes_read = $9, held_until = clock_timestamp() + make_interval(secs => $10)
           WHERE import_id = $1 AND holder = $2 AND rows_read = $3 AND state = 'running'""",
        import_id,
        holder,
        before,
        len(results),
        count("accepted"),
        count("repeated"),
        count("refused"),
        sum(each.warned for each in results),
        bytes_read,
        HELD_SECONDS,
    )
    return bool(status.endswith(" 1"))


async def end(
    db: Database,
    import_id: UUID,
    holder: str,
    *,
    state: str,
    now: datetime,
    delete_at: datetime,
    fault: str | None = None,
    fault_line: int | None = None,
) -> bool:
    """The run is at its end; its file is kept until ``delete_at``."""
    status = await db.execute(
        """WITH done AS (
             UPDATE import_run SET state = $3, finished_at = $4, fault = $5, fault_line = $6,
               holder = NULL, held_until = NULL
             WHERE import_id = $1 AND holder = $2 AND state = 'running' RETURNING file_id)
           UPDATE import_file f SET delete_at = $7 FROM done WHERE f.file_id = done.file_id""",
        import_id,
        holder,
        state,
        now,
        fault,
        fault_line,
        delete_at,
    )
    return bool(status.endswith(" 1"))


# -- rows ------------------------------------------------------------------------------------------


async def add_rows(db: Database, import_id: UUID, results: Sequence[RowResult]) -> None:
    """What became of these rows."""
    await db.execute(
        """INSERT INTO import_row (import_id, row, line, outcome, referral_id, reasons, mark,
             content)
           SELECT $1, row, line, outcome, referral_id, reasons::jsonb, mark, content
           FROM unnest($2::int[], $3::int[], $4::text[], $5::uuid[], $6::text[], $7::bytea[],
             $8::bytea[]) AS t(row, line, outcome, referral_id, reasons, mark, content)""",
        import_id,
        [each.row for each in results],
        [each.line for each in results],
        [each.outcome for each in results],
        [each.referral_id for each in results],
        [each.reasons_text() for each in results],
        [each.mark for each in results],
        [each.content for each in results],
    )


async def marked(db: Database, import_id: UUID, marks: Sequence[bytes]) -> dict[bytes, bytes]:
    """Of a dry run: the fingerprints of earlier rows that have these references."""
    rows = await db.fetch(
        """SELECT DISTINCT ON (mark) mark, content FROM import_row
           WHERE import_id = $1 AND mark = ANY($2::bytea[]) AND outcome = 'accepted'
           ORDER BY mark, row""",
        import_id,
        list(marks),
    )
    return {bytes(row["mark"]): bytes(row["content"]) for row in rows}


async def add_refusal(db: Database, import_id: UUID, ordinal: int, data: bytes) -> None:
    """A sealed piece of the file of refused rows; ``ordinal`` is the last row in it."""
    await db.execute(
        "INSERT INTO import_refusal (import_id, ordinal, data) VALUES ($1, $2, $3)",
        import_id,
        ordinal,
        data,
    )


async def refusals(db: Database, import_id: UUID, *, after: int, limit: int) -> list[Row]:
    """Sealed pieces of the file of refused rows, in order."""
    rows: list[Row] = await db.fetch(
        """SELECT ordinal, data FROM import_refusal WHERE import_id = $1 AND ordinal > $2
           ORDER BY ordinal LIMIT $3""",
        import_id,
        after,
        limit,
    )
    return rows


async def rows(
    db: Database, import_id: UUID, *, outcome: str | None, after: int, limit: int
) -> list[Row]:
    """What became of the rows, in their order; reference and number of those that are ours."""
    found: list[Row] = await db.fetch(
        f"""SELECT i.row, i.line, i.outcome, i.referral_id, coalesce(i.reasons, '[]') AS reasons,
              r.reference, r.case_id, c.case_number
            FROM import_row i LEFT JOIN referral r USING (referral_id)
              LEFT JOIN case_file c ON c.case_id = r.case_id
            WHERE i.import_id = $1 AND i.row > $2 {"AND i.outcome = $4" if outcome else ""}
            ORDER BY i.row LIMIT $3""",
        import_id,
        after,
        limit,
        *([outcome] if outcome else []),
    )
    return found


# -- layouts ---------------------------------------------------------------------------------------


async def own_layout(
    db: Database, connection: str, name: str, version: int | None = None
) -> str | None:
    """A layout of the connection: its newest version, or the one asked for."""
    found: str | None = await db.fetchval(
        """SELECT definition FROM layout WHERE connection = $1 AND name = $2
           AND ($3::int IS NULL OR version = $3) ORDER BY version DESC LIMIT 1""",
        connection,
        name,
        version,
    )
    return found


async def own_layouts(db: Database, connection: str) -> list[str]:
    """The newest version of each layout of the connection."""
    rows = await db.fetch(
        """SELECT DISTINCT ON (name) definition FROM layout WHERE connection = $1
           ORDER BY name, version DESC""",
        connection,
    )
    return [row["definition"] for row in rows]


async def add_layout(
    db: Database, connection: str, name: str, version: int, definition: str
) -> None:
    """Another version of a layout."""
    await db.execute(
        """INSERT INTO layout (connection, name, version, definition) VALUES ($1, $2, $3, $4)""",
        connection,
        name,
        version,
        definition,
    )


# -- whether others need the machine ---------------------------------------------------------------


async def requests_at_work(db: Database) -> int:
    """How many transactions of live requests of intake are open right now.

    Not those of this import, nor of the relay, the consumers and the other services that ask: they
    carry on what it wrote.
    """
    return int(
        await db.fetchval(
            """SELECT count(*) FROM pg_stat_activity
               WHERE application_name = $1 AND datname = current_database()""",
            LIVE,
        )
    )


async def unpublished(db: Database, at_most: int) -> int:
    """Events that wait for the relay, counted up to ``at_most``; 0 where they are surely fewer.

    Between the oldest that waits and the youngest there cannot be more than their numbers allow:
    only when that says too little are they counted.
    """
    return int(
        await db.fetchval(
            """SELECT CASE WHEN (SELECT max(id) FROM outbox)
                 - (SELECT min(id) FROM outbox WHERE published_at IS NULL) + 1 >= $1
               THEN (SELECT count(*) FROM
                 (SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT $1) w)
               ELSE 0 END""",
            at_most,
        )
    )
