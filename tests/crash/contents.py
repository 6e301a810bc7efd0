"""What a database holds, to compare a run that died with two that nothing disturbed."""

from collections import Counter

import asyncpg

Contents = dict[str, dict[str, Counter[str]]]


async def contents(url: str) -> Contents:
    """Table -> column -> how often each value stands there, of a whole database.

    Without columns that the database numbers itself: they have gaps where something rolled back.
    Without ``outbox.heard``: how far the service had heard depends on how its batches were cut.
    """
    db = await asyncpg.connect(url)
    try:
        columns = await db.fetch(
            """SELECT table_name, column_name FROM information_schema.columns
               WHERE table_schema = 'public' AND is_identity = 'NO'
                 AND (table_name, column_name) <> ('outbox', 'heard') ORDER BY 1, 2"""
        )
        found: Contents = {}
        for table, column in columns:
            rows = await db.fetch(f'SELECT "{column}"::text FROM "{table}"')
            found.setdefault(table, {})[column] = Counter(str(row[0]) for row in rows)
        return found
    finally:
        await db.close()


def assert_same(found: Contents, once: Contents, twin: Contents) -> None:
    """As many rows everywhere, and the same values in every column in which two runs agree.

    ``once`` and ``twin`` are two runs of the same that nothing disturbed: a column in which they
    differ holds fresh ids or instants.
    """
    for table, columns in once.items():
        for column, values in columns.items():
            assert found[table][column].total() == values.total(), f"rows of {table}"
            if values == twin[table][column]:
                assert found[table][column] == values, f"{table}.{column}"
