"""Likely duplicates: how good the suggestions are; how long a look-up takes among many cases."""

import asyncio
import gc
import json
import random
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson

from bench.duplicates_set import Labelled, labelled, true_pairs
from bench.machine import percentile
from bench.report import Result
from bench.run import Run
from intake.duplicates import repository
from intake.duplicates.rules import RULES, best
from services.client import wait_for
from services.clock import SHANGHAI

SEED = 7
FIRST = 5
CLIENTS = 8
TRIES = 60
LOOKUPS = 500
# A copy of the whole set in a county of its own: every key, id and number is another, and inside
# the copy everything hangs together as in the set. So each look-up meets as many as it really does.
_ID = "(lpad(to_hex($1::int), 8, '0') || substr(md5({0}::text || $1::int), 1, 24))::uuid"
_KEY = "(hashint8extended({0} >> 4, $1::int) << 4 | ({0} & 15))"
_COPY = (
    f"""INSERT INTO duplicate_trait (case_id, organisation, dispute_type, place, claim_fen,
          occurred_on, people, words, figures, keys, guarded, received_at, recorded_at)
        SELECT {_ID.format("case_id")}, organisation, dispute_type, place, claim_fen, occurred_on,
          people, words, figures,
          (SELECT array_agg({_KEY.format("k")}) FROM unnest(keys) AS k), guarded, received_at,
          recorded_at
        FROM duplicate_trait WHERE case_id = ANY($2::uuid[])""",
    f"""INSERT INTO duplicate_key (key, case_id)
        SELECT {_KEY.format("key")}, {_ID.format("case_id")}
        FROM pattern""",
)


@dataclass(frozen=True)
class Ranked:
    """What was suggested: per place in the set, others with their figure, likeliest first."""

    others: dict[int, list[tuple[int, int]]]
    pairs: set[tuple[int, int]]

    def first(self, pairs: set[tuple[int, int]]) -> float:
        """The share of pairs of which each stands among the first of the other."""
        hits = [
            other in [place for _, place in self.others[one][:FIRST]]
            for pair in pairs
            for one, other in (pair, pair[::-1])
        ]
        return sum(hits) / len(hits)

    def at(self, least: int, places: set[int]) -> tuple[float, float]:
        """Precision and recall of the pairs shown from a figure on, among these places."""
        shown = {
            (min(one, other), max(one, other))
            for one in places
            for score, other in self.others[one]
            if score >= least
        }
        wanted = {pair for pair in self.pairs if pair[0] in places or pair[1] in places}
        right = len(shown & wanted)
        return right / max(1, len(shown)), right / max(1, len(wanted))


def duplicates(bench: Run) -> None:
    """Precision, recall and the first five on a labelled set; the look-up's p99 on many cases."""
    everything = labelled(
        300 if bench.quick else 800, SEED, datetime.now(UTC).astimezone(SHANGHAI).date()
    )
    url = bench.installation.database("liandiao_intake")
    asyncio.run(_forget_waiting(url))
    cases = asyncio.run(_sent(bench, everything))
    wait_for(lambda: asyncio.run(_compared(url)), seconds=600)
    ranked = asyncio.run(_ranked(url, cases, everything))
    _quality(bench, everything, ranked)
    many = int(bench.options.cases) // (5 if bench.quick else 1)
    asyncio.run(_lookups(bench, url, cases, many))


def _quality(bench: Run, everything: list[Labelled], ranked: Ranked) -> None:
    """The threshold is chosen on one half of the disputes and measured on the other."""
    halves: tuple[set[int], set[int]] = (set(), set())
    for place, each in enumerate(everything):
        halves[each.dispute % 2].add(place)
    chosen = max(range(5, 100, 5), key=lambda least: _f1(*ranked.at(least, halves[0])))
    precision, recall = ranked.at(RULES.shown, halves[1])
    measured = {pair for pair in ranked.pairs if pair[0] in halves[1]}
    how = (
        f"{len(everything):,} referrals by REST, {len(measured)} pairs told again in the half "
        f"measured; the other half would choose {chosen}, shown from {RULES.shown}"
    )
    bench.report.add(
        Result(
            "true pairs among the first five",
            100 * ranked.first(measured),
            "%",
            95,
            "at least",
            how,
        ),
        Result("precision of the duplicates shown", 100 * precision, "%", how=how),
        Result("recall of the duplicates shown", 100 * recall, "%", how=how),
    )


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


async def _sent(bench: Run, everything: list[Labelled]) -> list[UUID]:
    """POST every referral as its own source; the case of each."""
    address = bench.installation.description["services"]["intake"]
    found: list[UUID | None] = [None] * len(everything)
    waiting = iter(enumerate(everything))

    async def client(http: httpx.AsyncClient) -> None:
        for place, each in waiting:
            source = each.document["source"]["organisation"]
            token = await asyncio.to_thread(bench.token, source)
            answer = await _post(http, f"{address}/v1/referrals", token, each.document)
            if answer.status_code != 201:
                raise RuntimeError(f"{answer.status_code} {answer.text[:300]}")
            found[place] = UUID(answer.json()["case_id"])

    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        await asyncio.gather(*(client(http) for _ in range(CLIENTS)))
    return [case for case in found if case is not None]


async def _post(
    http: httpx.AsyncClient, url: str, token: str, document: dict[str, Any]
) -> httpx.Response:
    """One referral; sent again when nobody could take it, which changes nothing."""
    for _ in range(TRIES):
        try:
            answer = await http.post(
                url,
                content=orjson.dumps(document),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
        except httpx.TransportError:
            await asyncio.sleep(1)
            continue
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(1)
    raise RuntimeError("intake does not answer")


async def _forget_waiting(url: str) -> None:
    """What other parts sent in a storm is nobody's duplicate and is not waited for."""
    db = await asyncpg.connect(url)
    try:
        await db.execute("DELETE FROM duplicate_queue")
    finally:
        await db.close()


async def _compared(url: str) -> bool:
    db = await asyncpg.connect(url)
    try:
        return not await db.fetchval("SELECT count(*) FROM duplicate_queue")
    finally:
        await db.close()


async def _ranked(url: str, cases: list[UUID], everything: list[Labelled]) -> Ranked:
    place = {case_id: n for n, case_id in enumerate(cases)}
    others: dict[int, list[tuple[int, int]]] = defaultdict(list)
    db = await asyncpg.connect(url)
    try:
        for row in await db.fetch("SELECT case_id, other_case_id, score FROM duplicate_pair"):
            one, other = place.get(row["case_id"]), place.get(row["other_case_id"])
            if one is not None and other is not None:
                others[one].append((row["score"], other))
                others[other].append((row["score"], one))
    finally:
        await db.close()
    for found in others.values():
        found.sort(reverse=True)
    return Ranked(others, set(true_pairs(everything)))


# -- many ------------------------------------------------------------------------------------------


async def _lookups(bench: Run, url: str, cases: list[UUID], many: int) -> None:
    db = await asyncpg.connect(url, command_timeout=3600)
    try:
        await db.set_type_codec(
            "jsonb", encoder=json.dumps, decoder=orjson.loads, schema="pg_catalog"
        )
        there = await _load(db, cases, many)
        took: list[float] = []
        met: list[int] = []
        lately = repository.Lately()
        # As every service does: what stays is no work for the collector.
        gc.collect()
        gc.freeze()
        for case_id in await _some(db, cases, there // len(cases)):
            began = time.perf_counter()
            one = await repository.traits(db, case_id)
            if one is None:
                continue
            others = await repository.candidates(db, case_id, sorted(one.keys), lately)
            best(one, others)
            took.append(time.perf_counter() - began)
            met.append(len(others))
    finally:
        await db.close()
    bench.report.add(
        Result(
            f"look-up of duplicates at {there:,} cases, p99",
            1000 * percentile(took, 99),
            "ms",
            50,
            "at most",
            f"p50 {1000 * percentile(took, 50):.1f} ms; {len(took)} look-ups, "
            f"{sum(met) / max(1, len(met)):.0f} files compared in each",
        )
    )


async def _load(db: asyncpg.Connection, cases: list[UUID], many: int) -> int:
    """Copies of the set until there are so many; answers how many there are."""
    copies = max(0, many // len(cases) - 1)
    await db.execute("SET session_replication_role = replica")
    await db.execute("ALTER TABLE duplicate_key DROP CONSTRAINT pk_duplicate_key")
    await db.execute(
        "CREATE TEMP TABLE pattern AS SELECT case_id, unnest(keys) AS key FROM duplicate_trait"
    )
    traits, key_rows = _COPY
    for copy in range(1, copies + 1):
        await db.execute(traits, copy, cases)
        await db.execute(key_rows, copy)
    await db.execute(
        "ALTER TABLE duplicate_key ADD CONSTRAINT pk_duplicate_key PRIMARY KEY (key, case_id)"
    )
    for table in ("duplicate_key", "duplicate_trait"):
        await db.execute(f"VACUUM (ANALYZE) {table}")
    return len(cases) * (copies + 1)


async def _some(db: asyncpg.Connection, cases: list[UUID], copies: int) -> list[UUID]:
    """Cases from everywhere: of the set, and of its copies."""
    chance = random.Random(SEED)
    found = []
    for _ in range(LOOKUPS):
        case_id, copy = chance.choice(cases), chance.randrange(max(1, copies))
        found.append(
            case_id
            if copy == 0
            else await db.fetchval(f"SELECT {_ID.format('$2::uuid')}", copy, case_id)
        )
    return found
