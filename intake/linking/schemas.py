"""What links between cases look like on REST."""

from uuid import UUID

from pydantic import BaseModel, Field

from intake.linking.model import Kind
from intake.schemas import Body, Instant


class LinkBody(Body):
    """The other case, and how this one belongs to it."""

    other_case_id: UUID
    kind: Kind


class LinkView(BaseModel):
    """A link as it stands beside this case."""

    link_id: UUID
    case_id: UUID
    other_case_id: UUID
    other_case_number: str
    other_state: str
    kind: str
    named_here: bool = Field(
        description="Of this case: it is the counterclaim, the follow-up; else the other one is"
    )
    linked_by: str
    linked_at: Instant
    removed_at: Instant | None
