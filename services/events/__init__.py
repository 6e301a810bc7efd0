"""The published language: event classes, lanes and their data, shared by all four services."""

from services.events.envelope import CATALOGUE, Event, EventSpec, Party, event

__all__ = ["CATALOGUE", "Event", "EventSpec", "Party", "event", "load_catalogue"]


def load_catalogue() -> dict[str, EventSpec]:
    """Import every event module and return wire type -> specification."""
    from services.events import intake, mediation, notification, routing  # noqa: F401

    return CATALOGUE
