"""What a webhook is: its states, why it stopped, what a try at it came to."""

from dataclasses import dataclass
from typing import Final, Literal

State = Literal["active", "paused", "ended"]
Reason = Literal["asked", "failing", "gone"]
Outcome = Literal["delivered", "failed", "gone"]

# Entries of a feed that no event of a case stands behind; their subject is the webhook.
PAUSED: Final = "liandiao.webhook.paused.v1"
ENDED: Final = "liandiao.webhook.ended.v1"
# Said to one webhook alone when its owner asks for a ping; its number is no entry's.
PING: Final = "liandiao.webhook.ping.v1"
PING_SEQUENCE: Final = 0

# A webhook at which so many cases wait at once is taken to be away: one try at a time.
AWAY_CASES: Final = 10
# A receiver that takes so long for an answer gets one entry at a time: it holds places of others.
SLOW_SECONDS: Final = 3.0
LONGEST_REPLAY: Final = 10_000


@dataclass(frozen=True)
class Answer:
    """What a receiver answered, or why there was no answer; never what it said.

    ``reason`` is a code: ``status``, ``redirected``, ``timeout``, ``connection``, ``tls``,
    ``name_unknown``, ``address_refused``, ``url_refused``, ``secret_unreadable`` (its key is lost).
    """

    outcome: Outcome
    status: int | None = None
    reason: str | None = None
    retry_after_seconds: int | None = None


def wait_seconds(tries: int, waits: tuple[int, ...], asked: int | None, jitter: float) -> float:
    """Seconds until the next try, after ``tries`` that failed; ``jitter`` is from 0 to 1.

    The last of ``waits`` repeats. A fifth more or less spreads what failed together. What the
    receiver asked for (``Retry-After``) is the least.
    """
    planned = waits[min(tries, len(waits)) - 1] * (0.8 + 0.4 * jitter)
    return max(planned, float(asked or 0))
