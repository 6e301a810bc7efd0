"""What webhooks look like on REST."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from notification.schemas import Instant
from notification.webhooks.model import Outcome, Reason, State

Number = Annotated[str, Field(pattern=r"^[0-9]{10}$", description="A number of the feed")]


class Body(BaseModel):
    """A request body: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookBody(Body):
    """Where the feed is to be brought."""

    url: str = Field(max_length=2000, description="https, without user name and fragment")
    types: list[str] | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Wire types that are sent; everything when left out",
    )
    after: Number | None = Field(
        None, description="Begin behind this number; with what is new when left out"
    )


class ResumptionBody(Body):
    """How a paused webhook goes on."""

    after: Number | None = Field(
        None,
        description="Go on behind this number: what waits up to it is not sent. "
        "Where it stopped when left out",
    )


class SecretBody(Body):
    """How long the secret so far stays good."""

    previous_valid_seconds: int | None = Field(
        None,
        ge=0,
        le=604_800,
        description="As long the previous secret signs too; 0: it ends at once. "
        "A day when left out (site)",
    )


class ReplayBody(Body):
    """Which entries are to be brought once more."""

    from_: Number = Field(alias="from")
    to: Number = Field(description="The last one; at most 10000 at once")


class WebhookView(BaseModel):
    """A webhook; its secret is shown once, with the answer to what made it."""

    webhook_id: UUID
    connection: str
    url: str
    types: list[str] | None
    state: State
    reason: Reason | None = Field(description="Why it is paused or ended")
    position: str = Field(
        description="As far as this number every entry was delivered, left out, or waits"
    )
    waiting: int = Field(description="Entries that were taken up and not delivered yet")
    failing_since: Instant | None = Field(description="Since when the oldest of them fails")
    secret_version: int
    previous_secret_until: Instant | None = Field(
        description="Until then the previous secret signs too"
    )
    created_at: Instant
    changed_at: Instant


class WebhookWithSecretView(WebhookView):
    """A webhook and the secret that was just made for it."""

    secret: str | None = Field(
        description="`whsec_` and base64; null when another has followed it since"
    )


class WebhookAttemptView(BaseModel):
    """One try."""

    attempt_id: UUID
    feed_sequence: str = Field(description="The entry; 0000000000 is a ping")
    message_id: str = Field(description="`webhook-id`, the same at every try")
    outcome: Outcome
    status: int | None = Field(description="What the receiver answered")
    reason: (
        Literal[
            "status",
            "redirected",
            "timeout",
            "connection",
            "tls",
            "name_unknown",
            "address_refused",
            "url_refused",
            "secret_unreadable",
        ]
        | None
    )
    duration_ms: int
    recorded_at: Instant


def view(row: Any, **more: Any) -> dict[str, Any]:
    """A row as its owner sees it."""
    return {**row, "position": f"{row['position']:010d}", **more}
