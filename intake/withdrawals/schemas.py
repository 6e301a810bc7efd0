"""What withdrawals look like on REST."""

from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from intake.schemas import Body, Instant
from intake.withdrawals.model import Reason


class WithdrawalBody(Body):
    """Why the referral is taken back, and when that was (now, when left out)."""

    reason: Reason
    withdrawn_at: AwareDatetime | None = None


class ContinuationBody(Body):
    """The party that asks: by its id, or by the referral's own ref."""

    party_id: UUID | None = None
    party_ref: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")


class WithdrawalView(BaseModel):
    """A withdrawal and what became of it.

    ``ask_by``: before this instant a party may ask that the case goes on; null where referrals of
    others keep it going.
    """

    withdrawal_id: UUID
    referral_id: UUID
    case_id: UUID
    organisation: str
    reason: str
    state: str = Field(description="waiting, goes_on, others_go_on, ended, over")
    ask_by: Instant | None
    withdrawn_at: Instant
    asked_by_party: UUID | None
    told_by: str | None = Field(description="`party`, or the desk that was told")
    mandate_id: UUID | None = Field(description="The mandate that it was asked under")
    settled_at: Instant | None
