"""What a search takes and shows; names and numbers of people stand in a body, never in a URL."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from intake.schemas import Body, CaseItem, Purpose


class IdentitySought(Body):
    """A document's number, as it stands on it."""

    type: str = Field(pattern=r"^[a-z_]{1,40}$")
    number: str = Field(min_length=1, max_length=40)


class PartySought(Body):
    """A party by what is wholly known of it; all that is given must fit."""

    name: str | None = Field(None, min_length=1, max_length=100)
    identity: IdentitySought | None = None
    phone: str | None = Field(None, min_length=1, max_length=40)


class SearchBody(Body):
    """All that is given must hold; nothing given: all cases of the organisation."""

    number: str | None = Field(
        None, max_length=64, description="Ours, as on a receipt; of a joined case too"
    )
    reference: str | None = Field(
        None, min_length=1, max_length=100, description="Any agency's number of the matter"
    )
    place: str | None = Field(
        None, pattern=r"^[0-9]{2,15}$", description="A code, or how it begins"
    )
    dispute_type: str | None = Field(None, pattern=r"^[a-z_]{1,32}$")
    lane: str | None = Field(None, pattern=r"^[a-z_]{1,32}$")
    state: Literal["open", "closed"] | None = None
    stage: str | None = Field(None, pattern=r"^[a-z_]{1,32}$")
    registered_from: AwareDatetime | None = None
    registered_until: AwareDatetime | None = Field(None, description="Exclusive")
    party: PartySought | None = None
    purpose: Purpose | None = Field(None, description="Required with `party`; it is logged")


class FoundCase(CaseItem):
    """A case that was found, and the case it is handled in when it is joined to one."""

    joined_into: str | None


class FoundCases(BaseModel):
    """One page, youngest first; how many there are in all is not told."""

    items: list[FoundCase]
    next: str | None = None
