"""Agreements: states, signatures and clauses as values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from mediation.transition import Machine

AGREEMENT: Final = Machine(
    "agreement",
    {
        ("draft", "sign"): "draft",
        ("draft", "take_effect"): "effective",
        ("draft", "supersede"): "void",
        ("draft", "void"): "void",
        ("signed", "void"): "void",
        ("draft", "complete"): "signed",
    },
)
FORMS: Final = ("paper", "online", "oral")
SIGNER_KINDS: Final = ("party", "mediator", "seal")
METHODS: Final = ("wet", "fingerprint", "electronic", "seal")
CLAUSE_KINDS: Final = ("fact", "responsibility", "obligation", "waiver", "other")
#: What needs a human look before signing (INT-22 355, 358; J-05; N-03, N-04).
FLAGS: Final = (
    "status",
    "parentage",
    "real_right",
    "intellectual_property",
    "unlawful",
    "third_party_harm",
    "vague",
    "guilt",
    "penalty",
    "fee",
)


@dataclass(frozen=True)
class Signature:
    """One signature under one text, with the time the law counts."""

    signer_kind: str
    signer: str
    signed_at: datetime
    text_sha256: str
    method: str = "wet"


@dataclass(frozen=True)
class Terms:
    """What the effect rule needs to know of an agreement."""

    form: str
    parties: frozenset[UUID]
    text_sha256: str
    agreed_at: datetime | None = None


def text_sha256(clauses: Sequence[Mapping[str, Any]], text: str) -> str:
    """Freeze clause data and text in one hash (canonical JSON, keys sorted)."""
    frozen = json.dumps(
        {"clauses": list(clauses), "text": text},
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
        default=str,
    )
    return hashlib.sha256(frozen.encode()).hexdigest()
