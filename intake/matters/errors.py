"""What a referral of another kind is answered."""

from typing import Final

from intake.messages import message
from intake.model import Referral
from services.errors import FieldError, Refused

CODE: Final = "kind_not_a_dispute"


class NotADispute(Refused):
    """Only a dispute becomes a case: raised before anything is written, for the edge to record."""

    def __init__(self, referral: Referral, fingerprint: bytes) -> None:
        super().__init__(errors=[FieldError("/kind", CODE, message(CODE))])
        self.referral = referral
        self.fingerprint = fingerprint


def require_dispute(referral: Referral, fingerprint: bytes) -> None:
    """Raises ``NotADispute`` for a referral that names another kind."""
    if referral.document.get("kind", "dispute") != "dispute":
        raise NotADispute(referral, fingerprint)
