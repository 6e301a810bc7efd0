"""Bodies and views of agreements."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, model_validator

from mediation.schemas import ActBody, Body, Day, NextActView, Sha256
from services.events.envelope import Fen, Instant

Flag = Literal[
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
]


class ObligationBody(Body):
    """What one party promises another; a day lasts to its 24:00 and does not roll."""

    kind: Literal["pay", "deliver", "do", "refrain", "apologise", "vacate", "other"]
    debtor: UUID
    creditor: UUID
    amount_fen: Fen | None = None
    due_at: AwareDatetime | None = None
    due_on: Day | None = None

    @model_validator(mode="after")
    def _one_time(self) -> "ObligationBody":
        if self.due_at is not None and self.due_on is not None:
            raise ValueError("give a day or an instant, not both")
        return self


class ClauseBody(Body):
    """One clause: its text, what it promises, what a person must look at before signing."""

    kind: Literal["fact", "responsibility", "obligation", "waiver", "other"]
    text: Annotated[str, Field(min_length=1, max_length=4000)]
    legal_basis: Annotated[str, Field(max_length=200)] = ""
    obligation: ObligationBody | None = None
    flags: list[Flag] = Field(default_factory=list)


class AgreementBody(ActBody):
    """Write an agreement down; the hash of clauses and text is what is signed."""

    form: Literal["paper", "online", "oral"]
    partial: bool = False
    parties: Annotated[list[UUID], Field(min_length=2, max_length=200)]
    clauses: Annotated[list[ClauseBody], Field(min_length=1, max_length=200)]
    text: Annotated[str, Field(max_length=40000)] = ""
    agreed_at: AwareDatetime | None = None
    flags_told: bool = False
    to_be_confirmed: Annotated[
        bool,
        Field(
            description="The parties mean to apply for judicial confirmation: the case stays open "
            "for it until the ruling, or until the window ends unused, even with nothing owed"
        ),
    ] = False


class SignatureBody(Body):
    """One signature under the frozen text, with the time it was given."""

    signer_kind: Literal["party", "mediator", "seal"]
    signer: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9-]{1,64}$",
            description="Party id; the mediator's staff id; the organisation's code",
        ),
    ]
    method: Literal["wet", "fingerprint", "electronic", "seal"] = "wet"
    signed_at: AwareDatetime
    text_sha256: Sha256
    proof_sha256: Sha256 | None = None


class SignatureView(BaseModel):
    """One signature."""

    signer_kind: str
    signer: str
    method: str
    signed_at: Instant
    recorded_at: Instant
    proof_sha256: str | None


class SignerView(BaseModel):
    """Whose signature is still needed."""

    signer_kind: str
    signer: str | None


class AgreementView(BaseModel):
    """An agreement with text, signatures and effect."""

    agreement_id: UUID
    mediation_id: UUID
    case_id: UUID
    organisation: str
    lane: str
    form: str
    partial: bool
    parties: list[UUID]
    flags: list[str]
    clauses: list[dict[str, Any]]
    text: str
    text_sha256: str
    effect_rule: str
    effect_source: str
    state: str
    agreed_at: Instant | None
    effective_at: Instant | None
    confirmable: bool
    confirmation_source: str
    to_be_confirmed: bool
    confirm_by: Instant | None
    confirm_by_on: str | None
    signatures: list[SignatureView]
    missing: list[SignerView]
    obligations: list[UUID]
    next_act: NextActView | None
    version: int
