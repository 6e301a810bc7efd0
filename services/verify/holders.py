"""Exactly one body answers for a case at every instant: from events and from intake's holdings."""

from collections.abc import Iterator, Mapping
from typing import Any

from services.verify.life import Life

_OPEN = ("offered", "objected", "accepted", "recalling")


def differences(life: Life, rows: Mapping[str, list[Any]]) -> Iterator[str]:
    """What contradicts one holder."""
    yield from _holdings(life, rows)
    for stream, name in (("item", "mediation"), ("turn", "routing")):
        open_ = [row for row in rows[stream] if row["state"] in _OPEN]
        current = [row for row in open_ if row["episode"] == life.episode]
        if len(current) > 1:
            bodies = ", ".join(row["organisation"] for row in current)
            yield f"{len(current)} turns are open at {name}: {bodies}"


def _holdings(life: Life, rows: Mapping[str, list[Any]]) -> Iterator[str]:
    holdings = rows["holding"]
    if not rows["file"]:
        return
    file = rows["file"][0]
    if not holdings:
        yield "nobody was ever written down as the holder"
        return
    told = [row["holder"] for row in holdings]
    if told[-1] != file["holder"]:
        yield f"two hold the case: {told[-1]} by its holdings, {file['holder']} by its file"
    # What comes after the closing is recorded and changes nothing (design section 5): of a closed
    # case the file may know less than mediation said, never something else.
    known = life.holders[: len(told)] if life.closed else life.holders
    if life.episode == 1 and told != known:
        yield f"the holders were {told} by the holdings, {life.holders} by the events"
    instants = [row["recorded_at"] for row in holdings]
    if instants != sorted(instants):
        yield "a later holding was recorded before an earlier one"
    for copy in rows["copy"]:
        if not life.closed and copy["holder"] != file["holder"]:
            yield f"notification takes {copy['holder']} for the holder, intake {file['holder']}"
