"""Sequences 1..n per service and case, in the tables; the topic's side is in ``stream.py``."""

from services.verify.look import Look
from services.verify.report import Checked
from services.verify.run import NAMES

_STREAMS = """
SELECT coalesce(o.key, s.case_id::text) AS key, o.n, o.least, o.top, o.distinct_n, s.last_sequence
FROM (SELECT key, count(*) AS n, min(sequence) AS least, max(sequence) AS top,
        count(DISTINCT sequence) AS distinct_n
      FROM outbox WHERE topic = $1 GROUP BY key) o
FULL JOIN (SELECT case_id, last_sequence FROM case_stream WHERE last_sequence > 0) s
  ON s.case_id::text = o.key
"""
_MISSING = """
SELECT g FROM generate_series(1, $3::bigint) g
WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE topic = $1 AND key = $2 AND sequence = g) LIMIT 5
"""


async def check(look: Look, done: Checked) -> None:
    """Every stream of every outbox is whole, and its head says how long it is."""
    topic = look.run.cases_topic
    for name in NAMES:
        async for row in look.databases.rows(name, _STREAMS, topic):
            done.items += 1
            where = {"service": name, "case_id": row["key"]}
            if row["n"] is None:
                done.found(
                    f"the stream head says {row['last_sequence']} events, the outbox has none",
                    f"restore {name}'s database, then run `liandiao recover {name}`",
                    **where,
                )
                continue
            if row["distinct_n"] != row["n"]:
                done.found(
                    f"a fork: {row['n']} events share {row['distinct_n']} sequences",
                    f"restore {name}'s database, then run `liandiao recover {name}`",
                    **where,
                )
            elif row["least"] != 1 or row["top"] != row["n"]:
                gaps = [
                    g["g"]
                    for g in await look.databases.all(name, _MISSING, topic, row["key"], row["top"])
                ]
                done.found(
                    f"a gap: {row['n']} events up to sequence {row['top']}; missing {gaps}",
                    f"run `liandiao recover {name}`: it adopts what only the topic has",
                    **where,
                )
            if row["last_sequence"] != row["top"]:
                done.found(
                    f"the stream head says {row['last_sequence']}, the outbox ends at {row['top']}",
                    f"run `liandiao recover {name}`",
                    **where,
                )
