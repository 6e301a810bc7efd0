"""Identifiers: UUIDv7, made in the application, never personal, never reused."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new UUIDv7 as a real ``uuid.UUID``; later ones sort after earlier ones."""
    return uuid7()
