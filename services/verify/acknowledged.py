"""No acknowledged write is lost, and one Idempotency-Key has one effect: by the drivers' logs."""

import json
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from services.verify.look import Look
from services.verify.report import CannotLook, Checked
from services.verify.run import NAMES

CHUNK: Final = 500
LOST: Final = "a client was told that it stands: restore the database, then `liandiao recover`"
TWICE: Final = "a client asked once: undo the second effect, find how the key was let through"

_TABLE: Final = """
CREATE TABLE answer (file TEXT, line INTEGER, service TEXT, method TEXT, path TEXT, key TEXT,
  digest TEXT, status INTEGER, location TEXT, case_id TEXT, sequence INTEGER);
CREATE INDEX answer_key ON answer (key);
CREATE INDEX answer_path ON answer (path);
"""
_WRITTEN: Final = "method <> 'GET' AND status BETWEEN 200 AND 299 AND path LIKE '/v1/%'"
# Nothing stays of these but a token or an access log.
_LEAVES_NOTHING: Final = re.compile(r"^/v1/receipts/|^/v1/test-clock/")
# Leaving, consenting, withdrawing, and stopping a webhook or letting it go on need no key and keep
# none (contracts section 8).
_KEYLESS: Final = re.compile(
    r"/(departures|withdrawals|consents)$|^/v1/webhooks/[^/]+/(endings|pauses|resumptions)$"
)

# What a Location names: service, table, key column.
RESOURCES: Final[dict[str, tuple[str, str, str]]] = {
    "referrals": ("intake", "referral", "referral_id"),
    "cases": ("intake", "case_file", "case_id"),
    "assignments": ("routing", "assignment", "id"),
    "decisions": ("routing", "decision", "id"),
    "conferences": ("routing", "conference", "id"),
    "linkages": ("routing", "linkage", "id"),
    "clocks": ("routing", "clock", "id"),
    "mediations": ("mediation", "mediation", "mediation_id"),
    "mediators": ("mediation", "staff", "id"),
    "consents": ("mediation", "consent", "id"),
    "sessions": ("mediation", "session", "session_id"),
    "agreements": ("mediation", "agreement", "agreement_id"),
    "obligations": ("mediation", "obligation", "obligation_id"),
}
# What is made under a parent: the path of the request, and how many of it there are.
MADE: Final[dict[str, tuple[str, str]]] = {
    r"^/v1/mediations/([^/]+)/mediators$": (
        "mediation", "SELECT count(*) FROM appointment WHERE mediation_id::text = $1"),
    r"^/v1/mediations/([^/]+)/consents$": (
        "mediation", "SELECT count(*) FROM consent WHERE mediation_id::text = $1"),
    r"^/v1/mediations/([^/]+)/sessions$": (
        "mediation", "SELECT count(*) FROM session WHERE mediation_id::text = $1"),
    r"^/v1/mediations/([^/]+)/agreements$": (
        "mediation", "SELECT count(*) FROM agreement WHERE mediation_id::text = $1"),
    r"^/v1/agreements/([^/]+)/signatures$": (
        "mediation", "SELECT count(*) FROM signature WHERE agreement_id::text = $1"),
    r"^/v1/obligations/([^/]+)/performances$": (
        "mediation", "SELECT count(*) FROM performance WHERE obligation_id::text = $1"),
    r"^/v1/referrals/([^/]+)/corrections$": (
        "intake", "SELECT count(*) FROM referral_version WHERE referral_id::text = $1"),
    r"^/v1/cases/([^/]+)/lane-changes$": (
        "intake", "SELECT count(*) FROM outbox WHERE key = $1 AND type LIKE '%.lane-changed.%'"),
    r"^/v1/cases/([^/]+)/reopenings$": (
        "intake", "SELECT count(*) FROM outbox WHERE key = $1 AND type LIKE '%.case.reopened.%'"),
}  # fmt: skip


async def check(look: Look, done: Checked) -> None:
    """Every 2xx of every log against the databases; on disk, so that a log may be long."""
    if not look.run.http_logs:
        done.note("no HTTP log was given (--http-log): a driver or `liandiao play` writes one")
    with tempfile.TemporaryDirectory(prefix="liandiao-verify-") as folder:
        log = sqlite3.connect(Path(folder) / "answers.sqlite")
        try:
            log.executescript(_TABLE)
            for path in look.run.http_logs:
                log.executemany(f"INSERT INTO answer VALUES ({', '.join('?' * 11)})", _read(path))
            for row in log.execute(
                f"SELECT count(*) FROM answer WHERE {_WRITTEN} AND sequence IS NULL"
            ):
                done.note(f"{row[0]} acknowledged writes told no Case-Sequence")
            await _sequences(look, done, log)
            await _locations(look, done, log)
            await _keys(look, done, log)
            await _made(look, done, log)
        finally:
            log.close()


def _read(path: Path) -> Iterator[tuple[Any, ...]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, text in enumerate(lines, start=1):
                if not text.endswith("\n"):
                    return  # The driver was killed while it wrote; the answer was not used.
                entry = json.loads(text)
                sequence = (entry.get("sequence") or "").rpartition("=")[2]
                yield (
                    path.name,
                    number,
                    entry["service"],
                    entry["method"],
                    entry["path"],
                    entry.get("key"),
                    entry.get("digest"),
                    entry.get("status"),
                    entry.get("location"),
                    entry.get("case_id"),
                    int(sequence) if sequence.isdigit() else None,
                )
    except (OSError, ValueError, KeyError) as error:
        raise CannotLook(f"the HTTP log {path} cannot be read: {error!r}") from error


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


async def _sequences(look: Look, done: Checked, log: sqlite3.Connection) -> None:
    """The event that an answer counted is in the outbox."""
    for name in NAMES:
        rows = log.execute(
            f"""SELECT file, line, path, case_id, sequence FROM answer
                WHERE {_WRITTEN} AND service = ? AND sequence IS NOT NULL
                  AND case_id IS NOT NULL""",
            (name,),
        )
        for chunk in _chunks(rows):
            done.items += len(chunk)
            for number in await _absent(look, name, chunk):
                file, line, path, case_id, sequence = chunk[number]
                done.found(
                    f"POST {path} was acknowledged with {name}={sequence} ({file}, line {line}), "
                    "and there is no such event",
                    LOST,
                    service=name,
                    case_id=case_id,
                )


async def _absent(look: Look, name: str, chunk: list[Any]) -> list[int]:
    rows = await look.databases.all(
        name,
        """SELECT n FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS w(key, sequence, n)
           WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.topic = $1 AND o.key = w.key
             AND o.sequence = w.sequence)""",
        look.run.cases_topic,
        [row[3] for row in chunk],
        [row[4] for row in chunk],
    )
    return [row["n"] - 1 for row in rows]


async def _locations(look: Look, done: Checked, log: sqlite3.Connection) -> None:
    """What a Location named is there."""
    for noun, (service, table, column) in RESOURCES.items():
        rows = log.execute(
            f"""SELECT file, line, path, case_id, location FROM answer
                WHERE {_WRITTEN} AND location LIKE ?""",
            (f"/v1/{noun}/%",),
        )
        for chunk in _chunks(rows):
            done.items += len(chunk)
            ids = [row[4].split("/")[3] for row in chunk]
            found = await look.databases.all(
                service,
                f"""SELECT n FROM unnest($1::text[]) WITH ORDINALITY AS w(id, n)
                    WHERE NOT EXISTS (SELECT 1 FROM "{table}" t WHERE t.{column} = w.id::uuid)""",
                ids,
            )
            for row in found:
                file, line, path, case_id, location = chunk[row["n"] - 1]
                done.found(
                    f"POST {path} was acknowledged as {location} ({file}, line {line}), and there "
                    f"is no such row in {table}",
                    LOST,
                    service=service,
                    case_id=case_id,
                )


async def _keys(look: Look, done: Checked, log: sqlite3.Connection) -> None:
    """One key, one answer: in the log, and kept beside the effect."""
    for key, path, answers in log.execute(
        f"""SELECT key, min(path), count(DISTINCT coalesce(location, '') || coalesce(case_id, ''))
            FROM answer WHERE {_WRITTEN} AND key IS NOT NULL
            GROUP BY key HAVING count(DISTINCT coalesce(location, '') || coalesce(case_id, '')) > 1
         """
    ):
        done.found(f"key {key} on {path} was answered with {answers} different effects", TWICE)
    for digest, answers in log.execute(
        f"""SELECT digest, count(DISTINCT location) FROM answer
            WHERE {_WRITTEN} AND path = '/v1/referrals' AND digest IS NOT NULL
            GROUP BY digest HAVING count(DISTINCT location) > 1"""
    ):
        done.found(f"one referral (digest {digest}) was registered {answers} times", TWICE)
    for name in NAMES:
        rows = log.execute(
            f"""SELECT key, min(path), max(status), max(location), max(case_id) FROM answer
                WHERE {_WRITTEN} AND service = ? AND key IS NOT NULL GROUP BY key""",
            (name,),
        )
        for chunk in _chunks(row for row in rows if not _KEYLESS.search(row[1])):
            done.items += len(chunk)
            kept: dict[str, list[Any]] = {}
            for row in await look.databases.all(
                name,
                "SELECT key, status, location FROM idempotency WHERE key = ANY($1::text[])",
                [row[0] for row in chunk],
            ):
                kept.setdefault(row["key"], []).append(row)
            for key, path, status, location, case_id in chunk:
                if _LEAVES_NOTHING.match(path):
                    continue
                answers = kept.get(key, [])
                wrong = None
                if not answers:
                    wrong = "is kept nowhere"
                elif len(answers) > 1:
                    wrong = f"is kept {len(answers)} times"
                elif location and answers[0]["location"] != location:
                    wrong = f"is kept as {answers[0]['location']}, answered as {location}"
                elif answers[0]["status"] != status:
                    wrong = f"is kept as {answers[0]['status']}, answered as {status}"
                if wrong:
                    done.found(
                        f"the answer to key {key} on {path} {wrong}",
                        LOST if not answers else TWICE,
                        service=name,
                        case_id=case_id,
                    )


async def _made(look: Look, done: Checked, log: sqlite3.Connection) -> None:
    """Under one parent there is no more than was asked for, each key once."""
    for pattern, (service, count) in MADE.items():
        expression = re.compile(pattern)
        log.create_function("parent", 1, lambda path, e=expression: _parent(e, path))
        for parent, acknowledged, asked in log.execute(
            """SELECT parent(path) AS parent,
                 count(DISTINCT CASE WHEN status BETWEEN 200 AND 299 THEN key END),
                 count(DISTINCT CASE WHEN status IS NULL OR status >= 500
                   OR status BETWEEN 200 AND 299 THEN key END)
               FROM answer WHERE method = 'POST' AND parent(path) IS NOT NULL
               GROUP BY 1 HAVING count(key) > 0"""
        ).fetchall():
            done.items += 1
            there = await look.databases.one(service, count, parent)
            what = pattern.rsplit("/", 1)[1].rstrip("$")
            if there > asked:
                done.found(
                    f"{asked} keys asked for {what} of {parent}, and there are {there}",
                    TWICE,
                    service=service,
                )
            elif acknowledged and not there:
                done.found(
                    f"{acknowledged} {what} of {parent} were acknowledged, and there is none",
                    LOST,
                    service=service,
                )


def _parent(expression: re.Pattern[str], path: str) -> str | None:
    match = expression.match(path)
    return match.group(1) if match else None
