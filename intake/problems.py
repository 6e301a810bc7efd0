"""Problems that every write of intake may answer."""

from typing import Final

from services.errors import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    TooLarge,
    UnsupportedMediaType,
)

WRITES: Final = (IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType)
BODY: Final = (TooLarge, UnsupportedMediaType)
