"""What is measured: one module per group of parts, in the order in which they run."""

from collections.abc import Mapping
from typing import Final

from bench.parts import (
    duplicates,
    importing,
    latency,
    posting,
    reading,
    searching,
    soaking,
    starting,
    straining,
    streaming,
)
from bench.run import Part

PARTS: Final[Mapping[str, Part]] = {
    "start": starting.start,
    "memory": starting.memory,
    "floor": starting.floor,
    "post": posting.post,
    "relay": streaming.relay,
    "lifecycle": posting.lifecycle,
    "visible": latency.visible,
    "pipeline": latency.pipeline,
    "neighbour": straining.neighbour,
    "consumer": streaming.consumer,
    "backlog": streaming.backlog,
    "reads": reading.reads,
    "search": searching.search,
    "imports": importing.imports,
    "duplicates": duplicates.duplicates,
    # Last but the soak: what it leaves to compare for likely duplicates disturbs whatever follows.
    "overload": straining.overload,
    "soak": soaking.soak,
}
# Too long for every run; by name only.
BY_NAME: Final = frozenset({"soak"})


def chosen(names: list[str] | None) -> dict[str, Part]:
    """The parts of a run, in their order; starting is always one of them."""
    wanted = {"start", *(names or PARTS.keys() - BY_NAME)}
    if unknown := wanted - PARTS.keys():
        raise SystemExit(
            f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
        )
    return {name: part for name, part in PARTS.items() if name in wanted}
