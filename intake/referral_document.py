"""The sealed referral as it stands: opened for who may, gone when it was erased."""

from typing import Any, Final

from intake.keys import Keys
from intake.vault import Erased
from services.errors import Gone

TABLE: Final = "referral"


def opened(keys: Keys, row: Any) -> dict[str, Any]:
    """The document of a referral's row; the caller audits the reading. Raises ``Gone``."""
    try:
        found: dict[str, Any] = keys.vault.open(
            TABLE,
            row["referral_id"],
            row["kek_id"],
            row["wrapped_key"],
            {"document": row["document"]},
        )["document"]
    except Erased:
        raise Gone("the referral was erased") from None
    return found
