"""A referral that passed every check, as the handlers use it. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from services.errors import FieldError


class Directory(Protocol):
    """What intake asks the directory: organisations and places by code."""

    def organisation(self, code: str) -> dict[str, Any] | None:
        """The organisation, or None."""

    def place(self, code: str) -> dict[str, Any] | None:
        """The place, or None."""


class ByCreditCode(Protocol):
    """The directory where a party may be one of its organisations."""

    def organisation_by_uscc(self, uscc: str) -> str | None:
        """The code of the organisation with this unified social credit code."""


@dataclass(frozen=True)
class PartyFacts:
    """One party: what may travel (role, kind, consent) and what goes into the vault."""

    ref: str
    role: str
    kind: str
    consent: str
    consent_on: str | None
    name: str
    identity: dict[str, Any] | None
    phone: str | None
    address: str | None
    protected: dict[str, bool]
    details: dict[str, Any]

    @property
    def identity_key(self) -> str | None:
        """The text whose equality means the same person or body."""
        number = (self.identity or {}).get("number")
        return f"{(self.identity or {})['type']}:{number}" if number else None


@dataclass(frozen=True)
class Referral:
    """A valid referral; ``document`` is what was sent, with numbers folded."""

    document: dict[str, Any]
    organisation: str
    reference: str
    normal_reference: str
    channel: str
    received_at: datetime
    request_made_at: datetime | None
    lane: str
    dispute_type: str
    dispute_subtype: str | None
    place: str
    county: str
    claim_fen: int | None
    occurred_at: datetime | None
    occurred_until: datetime | None
    parties: tuple[PartyFacts, ...]
    documents: tuple[dict[str, Any], ...]
    concerns: tuple[str, ...]
    requested_within: dict[str, Any] | None
    preferred_mode: str | None
    legal_context: dict[str, Any] = field(default_factory=dict)

    @property
    def joint_sessions(self) -> bool:
        """Whether people may be put into one room: the consequence of the concerns, never they."""
        return not set(self.concerns) & NO_JOINT_SESSIONS


# Concerns that bar joint sessions (design 10; 反家庭暴力法 and N-06).
NO_JOINT_SESSIONS = frozenset({"threat_of_violence", "domestic_violence", "protection_order"})


@dataclass(frozen=True)
class Verdict:
    """The outcome of all checks: the referral when there is no error, and every doubt."""

    referral: Referral | None
    errors: tuple[FieldError, ...] = ()
    warnings: tuple[FieldError, ...] = ()
