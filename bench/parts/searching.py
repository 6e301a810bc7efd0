"""Staff search among very many cases: by every road, the first page, deep pages, and in vain."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import asyncpg
import httpx

from bench.installation import ROOT
from bench.machine import percentile
from bench.referrals import CENTRE, COURT, referrals
from bench.report import Result
from bench.run import Run
from intake.duplicates.model import Kind
from services.client import wait_for

CHUNK: Final = 100_000
TRIES: Final = 40
DEEP_PAGES: Final = 40
SEED: Final = 11
FIVE_YEARS: Final = 5 * 365 * 86_400
_UNTIL: Final = "date_trunc('second', now()) - interval '1 day'"
_LANES: Final = (
    "police_civil",
    "petition",
    "admin",
    "labor",
    "hotline",
    "pm",
    "traffic",
    "consumer",
)
_TYPES: Final = (
    "contract",
    "loan",
    "family",
    "neighbor",
    "housing",
    "labor",
    "traffic",
    "property",
)


def _hash(salt: int, many: int) -> str:
    """A whole number below ``many`` that each case draws for itself."""
    return f"(hashint8extended(n, {salt}) & 1073741823) % {many}"


def _id(salt: int) -> str:
    """An id of version 7 for the instant of registering; others for other salts."""
    drawn = f"md5(n::text || '{salt}')"
    return (
        f"(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'"
        f" || substr({drawn}, 1, 3) || '8' || substr({drawn}, 4, 15))::uuid"
    )


def _digits(salt: int, many: int, digits: int) -> str:
    return f"'33' || lpad(({_hash(salt, many)})::text, {digits}, '0')"


def _one_of(values: tuple[str, ...], salt: int) -> str:
    """One of them; each half as often as the one before, roughly."""
    drawn = f"(8 - ln(1 + {_hash(salt, 255)}) / ln(2))::int"
    return f"(ARRAY{list(values)})[1 + least({len(values) - 1}, {drawn})]"


_AGE: Final = f"($3 - n)::float8 / $3 * {FIVE_YEARS} * interval '1 second'"
# Three cases in ten are the court's, and all of those came before or after filing. Of the old ones
# nearly all are closed; two towns in three hundred have a fifth of all.
_OURS: Final = f"({_hash(1, 10)} < 3)"
_OPEN: Final = (
    f"(CASE WHEN age < interval '60 days' THEN {_hash(2, 2)} = 0 ELSE {_hash(2, 2000)} = 0 END)"
)
_FACTS: Final = f"""
    CREATE TEMP TABLE facts ON COMMIT DROP AS
    SELECT n, at, {_id(1)} AS case_id, {_id(2)} AS referral_id, {_id(3)} AS source_id,
      {_id(4)} AS handler_id, {_OPEN} AS open,
      CASE WHEN {_OURS} THEN '{COURT}' ELSE {_digits(3, 300, 4)} || '-PS-0001' END AS source,
      CASE WHEN {_hash(4, 5)} = 0 THEN '{CENTRE}'
        ELSE {_digits(5, 900, 4)} || '-CE-0001' END AS handler,
      CASE WHEN {_OURS} THEN CASE WHEN {_hash(6, 10)} = 0 THEN 'court_post' ELSE 'court_pre' END
        ELSE {_one_of(_LANES, 7)} END AS lane,
      {_one_of(_TYPES, 8)} AS dispute_type,
      CASE WHEN {_hash(9, 5)} = 0 THEN '33068100' || ({_hash(10, 2)})::text || '000'
        ELSE {_digits(11, 90, 4)} || lpad(({_hash(12, 20)})::text, 3, '0') || '000' END AS place
    FROM (SELECT n, {_UNTIL} - {_AGE} AS at, {_AGE} AS age
          FROM generate_series($1::bigint, $2::bigint) AS n) AS drawn
"""
# Which column is drawn for each case; all others are those of a real case.
_DRAWN: Final[dict[str, dict[str, str]]] = {
    "case_file": {
        "case_id": "f.case_id",
        "case_number": "p.case_number || '-' || f.n",
        "referral_id": "f.referral_id",
        "organisation": "f.source",
        "lane": "f.lane",
        "dispute_type": "f.dispute_type",
        "dispute_subtype": "NULL",
        "place": "f.place",
        "state": "CASE WHEN f.open THEN 'open' ELSE 'closed' END",
        "stage": "CASE WHEN f.open THEN 'mediating' ELSE 'performing' END",
        "outcome": "CASE WHEN f.open THEN NULL ELSE 'agreed_written' END",
        "closed_at": "CASE WHEN f.open THEN NULL ELSE f.at + interval '1 day' END",
        "registered_at": "f.at",
        "recorded_at": "f.at",
    },
    "referral": {
        "case_id": "f.case_id",
        "referral_id": "f.referral_id",
        "organisation": "f.source",
        "reference": "p.reference || '-' || f.n",
        "normal_reference": "p.normal_reference || '-' || f.n",
        "recorded_at": "f.at",
    },
}
_PARTICIPATION: Final = """
    INSERT INTO participation (participation_id, case_id, organisation, role, reference, joined_at)
    SELECT source_id, case_id, source, 'source', 'R' || n, at FROM facts
    UNION ALL SELECT handler_id, case_id, handler, 'handler', NULL, at FROM facts
"""
# Every case has a name and a phone; one name in three hundred is the same popular one.
_KEYS: Final = f"""
    INSERT INTO duplicate_key (key, case_id)
    SELECT CASE WHEN {_hash(13, 300)} = 0 THEN $1::bigint
      ELSE hashint8extended(n, 14) >> 4 << 4 | {Kind.NAME.value} END, case_id FROM facts
    UNION ALL SELECT hashint8extended(n, 15) >> 4 << 4 | {Kind.PHONE.value}, case_id FROM facts
"""


def search(bench: Run) -> None:
    """Every kind of search through intake's API, on ``--cases`` cases of five years."""
    document = json.loads(next(referrals(ROOT, 1)))
    person = document["parties"][0]
    url = bench.installation.database("liandiao_intake")
    with _http(bench, COURT) as http:
        answer = http.post("/v1/referrals", json=document)
        answer.raise_for_status()
        case_id = answer.json()["case_id"]
        wait_for(lambda: asyncio.run(_keys(url, case_id)) != [], seconds=120)
    began = time.monotonic()
    size = asyncio.run(_load(url, case_id, int(bench.options.cases)))
    cases = int(bench.options.cases)
    print(
        f"  {cases} cases loaded in {time.monotonic() - began:.0f} s, {size / 1e9:.1f} GB",
        flush=True,
    )
    chance = random.Random(SEED)
    for name, organisation, draw in _searches(person, chance):
        _measure(bench, name, organisation, draw, cases)


Draw = Callable[[], dict[str, Any]]


def _searches(person: dict[str, Any], chance: random.Random) -> Iterator[tuple[str, str, Draw]]:
    def town() -> str:
        return f"33{chance.randrange(90):04}{chance.randrange(20):03}"

    def type_() -> str:
        return chance.choice(_TYPES)

    def window() -> dict[str, Any]:
        month = chance.randrange(1, 13)
        return {
            "registered_from": f"2024-{month:02}-01T00:00:00+08:00",
            "registered_until": f"2024-{month:02}-11T00:00:00+08:00",
        }

    yield "everything", COURT, dict
    yield "a popular name", COURT, lambda: _party(name=person["name"])
    yield "a phone", COURT, lambda: _party(phone=person["phone"])
    yield "a phone that nobody has", COURT, lambda: _party(phone="13900000000")
    yield "one town", COURT, lambda: {"place": town()}
    yield "a county's open cases", COURT, lambda: {"place": town()[:6], "state": "open"}
    yield "a type", CENTRE, lambda: {"dispute_type": type_()}
    yield (
        "a type in a town, open",
        CENTRE,
        lambda: {
            "place": town(),
            "dispute_type": type_(),
            "state": "open",
        },
    )
    yield "open cases", COURT, lambda: {"state": "open"}
    yield "ten days of 2024", CENTRE, window
    yield "ten days of 2024, open", COURT, lambda: {**window(), "state": "open"}
    yield "a stage that nothing is in", COURT, lambda: {"stage": "undecided"}
    yield "another body's lane", COURT, lambda: {"lane": chance.choice(_LANES)}
    yield "another body's lane, open", CENTRE, lambda: {"lane": "court_exec", "state": "open"}


def _party(**known: str) -> dict[str, Any]:
    return {"party": known, "purpose": "handling"}


def _measure(bench: Run, name: str, organisation: str, draw: Draw, cases: int) -> None:
    """First pages with other values each, then one search paged deep."""
    first: list[float] = []
    deep: list[float] = []
    met: list[int] = []
    with _http(bench, organisation) as http:
        for _ in range(max(10, int(bench.seconds(TRIES)))):
            took, answer = _page(http, draw(), None)
            first.append(took)
            met.append(len(answer["items"]))
        body, cursor = draw(), None
        for _ in range(DEEP_PAGES):
            took, answer = _page(http, body, cursor)
            deep.append(took)
            cursor = answer["next"]
            if cursor is None:
                break
    bench.report.add(
        Result(
            f"search among {cases:,} cases, {name}: p99",
            1000 * percentile(first, 99),
            "ms",
            SOON_MS,
            "at most",
            f"p50 {1000 * percentile(first, 50):.1f} ms, worst of {len(deep)} pages in a row "
            f"{1000 * max(deep):.1f} ms; {sum(met) / len(met):.0f} cases a page",
        )
    )


SOON_MS: Final = 100


def _http(bench: Run, organisation: str) -> httpx.Client:
    address = bench.installation.description["services"]["intake"]
    head = {"Authorization": f"Bearer {bench.token(organisation)}"}
    return httpx.Client(base_url=address, headers=head, trust_env=False, timeout=600)


def _page(http: httpx.Client, body: dict[str, Any], cursor: str | None) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = http.post("/v1/cases/searches", json=body, params={"cursor": cursor} if cursor else {})
    took = time.perf_counter() - began
    answer.raise_for_status()
    return took, answer.json()


async def _keys(url: str, case_id: str) -> list[int]:
    """The hashed names of a case, once it was compared."""
    db = await asyncpg.connect(url)
    try:
        rows = await db.fetch(
            "SELECT key FROM duplicate_key WHERE case_id = $1 AND key & 15 = $2",
            case_id,
            Kind.NAME.value,
        )
        return [row["key"] for row in rows]
    finally:
        await db.close()


async def _load(url: str, case_id: str, cases: int) -> int:
    """So many cases in the tables that a search reads; the bytes of those tables."""
    popular = (await _keys(url, case_id))[0]
    db = await asyncpg.connect(url, command_timeout=3600)
    try:
        await db.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        copies = [await _copy(db, table) for table in _DRAWN]
        await db.execute("ALTER TABLE duplicate_key DROP CONSTRAINT pk_duplicate_key")
        for begin in range(1, cases + 1, CHUNK):
            end = min(cases, begin + CHUNK - 1)
            async with db.transaction():
                await db.execute(_FACTS, begin, end, cases)
                for statement in copies:
                    await db.execute(statement, case_id)
                await db.execute(_PARTICIPATION)
                await db.execute(_KEYS, popular)
        await db.execute(
            "ALTER TABLE duplicate_key ADD CONSTRAINT pk_duplicate_key PRIMARY KEY (key, case_id)"
        )
        tables = (*_DRAWN, "participation", "duplicate_key")
        for table in tables:
            await db.execute(f"VACUUM (ANALYZE) {table}")
        size: int = await db.fetchval(
            "SELECT sum(pg_total_relation_size(t::regclass))::bigint FROM unnest($1::text[]) t",
            list(tables),
        )
        return size
    finally:
        await db.close()


async def _copy(db: asyncpg.Connection, table: str) -> str:
    """INSERT of a chunk of cases: drawn columns, all others as a real case has them."""
    rows = await db.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
        " AND NOT attisdropped ORDER BY attnum",
        table,
    )
    columns = [row["attname"] for row in rows]
    values = ", ".join(_DRAWN[table].get(name, f'p."{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {values} FROM facts f"
        f" CROSS JOIN (SELECT * FROM {table} WHERE case_id = $1) p"
    )
