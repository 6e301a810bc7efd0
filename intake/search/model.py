"""What staff may search for, already folded and hashed. Pure."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Sought:
    """All that is given must hold; a party is known here by its keyed hashes alone."""

    case_number: str | None = None
    own_reference: str | None = None
    keys: tuple[int, ...] = ()
    by_party: bool = False
    place: str | None = None
    dispute_type: str | None = None
    lane: str | None = None
    state: str | None = None
    stage: str | None = None
    registered_from: datetime | None = None
    registered_until: datetime | None = None

    def filters(self) -> dict[str, Any]:
        """What a cursor belongs to: no name and no number of a person is among it."""
        return {name: value for name, value in asdict(self).items() if value}
