"""The order in which a lost topic is filled again: as it stood, but no effect before its cause."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class Said:
    """An event of an outbox, with what its service had heard of the case when it was said."""

    source: str
    event_id: UUID
    key: str
    sequence: int | None
    cause: UUID | None = None
    heard: Mapping[str, int] = field(default_factory=dict)
    row: Any = None

    def needs(self) -> dict[str, int]:
        """Source -> up to which sequence its events of this case come first."""
        if self.sequence is None:
            return dict(self.heard)
        return {**self.heard, self.source: self.sequence - 1}


def read_heard(text: str | None) -> dict[str, int]:
    """``intake=3,routing=5`` as it stands in an outbox; the highest of a source counts."""
    heard: dict[str, int] = {}
    for part in filter(None, (text or "").split(",")):
        source, _, sequence = part.partition("=")
        heard[source] = max(heard.get(source, 0), int(sequence))
    return heard


def in_order(batch: Sequence[Said], later: Iterable[Said]) -> list[Said]:
    """The batch as it stood, each event behind whatever it followed from.

    A stamp tells where the first *acknowledged* copy stood. One that was heard before and never
    acknowledged makes the stamp too late, or there is none: such events are among ``later`` and
    are taken forward, before the first that needs them; of ``later`` nothing else is in the answer.
    """
    streams: dict[tuple[str, str], list[Said]] = defaultdict(list)
    by_id: dict[UUID, Said] = {}
    for said in (*batch, *later):
        by_id[said.event_id] = said
        if said.sequence is not None:
            streams[said.key, said.source].append(said)
    for stream in streams.values():
        stream.sort(key=lambda said: said.sequence or 0, reverse=True)
    done: set[UUID] = set()
    ordered: list[Said] = []

    def put(said: Said) -> None:
        if said.event_id in done:
            return
        done.add(said.event_id)
        for source, upto in said.needs().items():
            stream = streams.get((said.key, source), [])
            while stream and (stream[-1].sequence or 0) <= upto:
                put(stream.pop())
        cause = by_id.get(said.cause) if said.cause else None
        if cause is not None and cause.key == said.key:
            put(cause)
        ordered.append(said)

    for said in batch:
        put(said)
    return ordered
