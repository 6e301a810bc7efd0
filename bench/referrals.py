"""Referrals for the load: the samples' own generator, with people nobody shares."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson

COURT = "330681-CT-0001"
CENTRE = "330681-CE-0001"
COMMITTEE = "330681-CM-0007"
POLICE = "330681-PS-0001"
LANES = {COURT: "court_pre", POLICE: "police_civil"}
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_FIRST_DAY = date(1950, 1, 1)
_DAYS = 18_000


def identity(number: int) -> tuple[str, str, str]:
    """A valid resident's number (GB 11643) for each whole number, its birthday and gender."""
    day = _FIRST_DAY + timedelta(days=number % _DAYS)
    serial = number // _DAYS % 1000
    first = f"330681{day:%Y%m%d}{serial:03d}"
    check = "10X98765432"[sum(int(c) * w for c, w in zip(first, _WEIGHTS, strict=True)) % 11]
    return first + check, day.isoformat(), "male" if serial % 2 else "female"


def referrals(root: Path, start: int, source: str = COURT) -> Iterator[bytes]:
    """Bodies of ``POST /v1/referrals`` without end; other ``start``, other references and people.

    The same person in thousands of cases would measure the search for duplicates only. What takes
    long is done before it answers.
    """
    script = root / "samples" / "generate.py"
    done = subprocess.run(
        [sys.executable, str(script), "--count", "900", "--seed", "7"],
        capture_output=True,
        check=True,
    )
    kept = [json.loads(line) for line in done.stdout.splitlines()]
    kept = [
        each
        for each in kept
        if each["lane"] == LANES[source] and each["source"]["organisation"] == source
    ]
    return _without_end(kept, start, source)


def _without_end(kept: list[dict[str, Any]], start: int, source: str) -> Iterator[bytes]:
    for number in itertools.count(start):
        each = kept[number % len(kept)]
        each["source"]["reference"] = f"（2026）浙0681民诉前调{number}号"
        if source == COURT:
            each.get("legal_context", {})["court_case_number"] = each["source"]["reference"]
        for place, party in enumerate(each["parties"]):
            if party["kind"] == "person" and party.get("id"):
                number_, born, gender = identity(number * 8 + place)
                party["id"]["number"] = number_
                party["birth_date"], party["gender"] = born, gender
        yield orjson.dumps(each)
