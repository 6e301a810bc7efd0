"""What routing reads from its copy of the directory, prepared once per revision of it."""

from typing import TYPE_CHECKING, Any

from routing.candidates import mediating_bodies
from services.calendar import Calendars, CalendarYear, shipped

if TYPE_CHECKING:
    from services.runtime import Runtime


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


def bodies_along(runtime: "Runtime", chain: tuple[str, ...]) -> list[dict[str, Any]]:
    """Bodies that mediate at one of these places."""
    index: dict[str, list[dict[str, Any]]] = _cached(
        runtime,
        "routing.bodies",
        lambda: mediating_bodies(runtime.directory.all("organisation").values()),
    )
    return [body for place in chain for body in index.get(place, ())]


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
