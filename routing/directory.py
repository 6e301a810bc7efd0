"""What routing reads from its copy of the directory, prepared once per revision of it."""

from typing import TYPE_CHECKING, Any, Final

from routing.candidates import candidate_of, mediating_bodies
from routing.model import Candidate
from services.calendar import Calendars, CalendarYear, shipped

if TYPE_CHECKING:
    from services.runtime import Runtime


CHAINS_KEPT: Final = 2_000


def _cached(runtime: "Runtime", name: str, build: Any) -> Any:
    revision, value = runtime.state.get(name, (-1, None))
    if revision != runtime.directory.revision:
        value = build()
        runtime.state[name] = (runtime.directory.revision, value)
    return value


def calendars(runtime: "Runtime") -> Calendars:
    """Years by number: the shipped ones, replaced by what the directory holds."""

    def build() -> Calendars:
        held = runtime.directory.all("calendar").values()
        return {**shipped(), **{int(v["year"]): CalendarYear.from_value(v) for v in held}}

    found: Calendars = _cached(runtime, "routing.calendars", build)
    return found


def candidates_along(
    runtime: "Runtime", chain: tuple[str, ...], today: str
) -> tuple[Candidate, ...]:
    """Bodies that mediate at one of these places, as candidates without any open case."""
    index: dict[str, list[dict[str, Any]]] = _cached(
        runtime,
        "routing.bodies",
        lambda: mediating_bodies(runtime.directory.all("organisation").values()),
    )
    known: dict[tuple[tuple[str, ...], str], tuple[Candidate, ...]] = _cached(
        runtime, "routing.candidates", dict
    )
    if (chain, today) not in known:
        if len(known) >= CHAINS_KEPT:
            known.clear()
        known[chain, today] = tuple(
            candidate_of(body, today=today) for place in chain for body in index.get(place, ())
        )
    return known[chain, today]


def chain_of(runtime: "Runtime", place: str) -> tuple[str, ...]:
    """The place, or what succeeded it, and everything above."""
    seen: set[str] = set()
    while place not in seen:
        seen.add(place)
        value = runtime.directory.place(place)
        if value is None and len(place) == 15:
            place = place[:12]  # a grid cell that is not known belongs to its village
        elif value and value.get("successor"):
            place = value["successor"]
    return tuple(runtime.directory.place_chain(place))


def kind_of(runtime: "Runtime", code: str) -> str:
    """The kind of an organisation; empty when it is not known."""
    return str((runtime.directory.organisation(code) or {}).get("kind", ""))
