"""What the endpoints about representatives take and show."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from intake.parties.model import Scope
from intake.schemas import Body, Finding, Instant

Ref = Annotated[str, Field(pattern=r"^p[1-9][0-9]{0,3}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[
    str, Field(pattern=r"^[^\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]*$", min_length=1)
]


class RepresentativeIdentity(Body):
    """A representative's document."""

    type: Literal[
        "resident_id",
        "residence_permit",
        "hk_macau_permit",
        "taiwan_permit",
        "passport",
        "foreign_permanent_resident",
        "military",
        "other",
    ]
    number: Annotated[Line, Field(max_length=40)]
    verified: bool = False


class Representative(Body):
    """Somebody who is not a party."""

    name: Annotated[Line, Field(max_length=100)]
    id: RepresentativeIdentity | None = None
    phone: Annotated[Line, Field(max_length=40)] | None = None


class RepresentationBody(Body):
    """Who is to act for which party, with what authority, on what paper, until when."""

    party_id: UUID | None = None
    party_ref: Ref | None = None
    representative: Representative | None = None
    representative_ref: Ref | None = Field(
        None, description="Instead: the party of the same side that was elected"
    )
    relation: Literal[
        "lawyer",
        "legal_worker",
        "spouse",
        "parent",
        "child",
        "sibling",
        "relative",
        "guardian",
        "staff",
        "legal_representative",
        "group_member",
        "other",
    ]
    authority: Literal["special", "general", "statutory", "elected"]
    scopes: list[Scope] = Field([], max_length=7, description="Left out: those of the authority")
    paper_sha256: Sha256 | None = Field(None, description="The power of attorney, by its hash")
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    occurred_at: AwareDatetime | None = None


class RevocationBody(Body):
    """From when the representative acts no more; now, when left out."""

    revoked_at: AwareDatetime | None = None


class Permitted(BaseModel):
    """Whether the act is allowed now, and what has to be said when it is done."""

    allowed: bool
    warning: Finding | None = None


class RepresentationView(BaseModel):
    """Somebody's authority to act for a party; ``person`` only when a purpose was stated."""

    representation_id: UUID
    case_id: UUID
    party_id: UUID
    party_ref: str
    representative_party_id: UUID | None
    authority: str
    relation: str
    scopes: list[str]
    paper_sha256: str | None
    told_by: str
    organisation: str | None
    valid_from: Instant
    valid_until: Instant | None
    revoked_at: Instant | None
    revoked_by: str | None
    revoked_mandate_id: UUID | None = Field(description="The mandate it was ended under")
    occurred_at: Instant
    recorded_at: Instant
    acts: dict[str, Permitted]
    person: dict[str, Any] | None = None


class Representations(BaseModel):
    """Everybody who acts or acted for the parties of a case."""

    case_id: UUID
    items: list[RepresentationView]


class ObjectionBody(Body):
    """The party that does not want to be spoken for, and whether it wants a case of its own."""

    party_ref: Ref
    own_case: bool = False
    objected_at: AwareDatetime | None = None


class ObjectionView(BaseModel):
    """What became of it: it speaks for itself here, or goes on in its own case."""

    case_id: UUID
    party_id: UUID
    objected_at: Instant
    own_case_id: UUID | None
    own_case_number: str | None
    mandate_id: UUID | None = Field(description="The mandate it was said under")
