"""Values of retention, erasure and consent. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

RetentionClass = Literal["short", "long", "permanent"]
Ground = Literal["term_ended", "purpose_achieved", "consent_withdrawn", "unlawful", "wrong_person"]
HoldGround = Literal["litigation", "investigation", "complaint", "inspection"]
Correctable = Literal["name", "phone", "address", "birth_date", "gender", "id"]
CORRECTABLE: Final[tuple[str, ...]] = ("name", "phone", "address", "birth_date", "gender", "id")
# All four obey an erasure; it is certified when each has said so.
SERVICES: Final = ("intake", "routing", "mediation", "notification")


@dataclass(frozen=True)
class Keep:
    """How long a closed file is kept: its class and the end, ``None`` for ever or while open."""

    class_: str
    keep_until: datetime | None
