"""The header that names a mandate."""

from typing import Annotated
from uuid import UUID

from fastapi import Header

UnderMandate = Annotated[
    UUID | None,
    Header(
        alias="Mandate-Id",
        description="The mandate (代办) of a party that this act is done under; checked and marked",
    ),
]
