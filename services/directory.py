"""This service's copy of the directory: organisations, places, calendars, connections, keys."""

from datetime import date
from typing import Any

import asyncpg


class DirectoryCopy:
    """In memory, loaded from ``directory_entry``; the directory reader keeps both current."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.revision = 0
        self._by_organisation: dict[str, list[str]] | None = None
        self._by_uscc: dict[str, str] | None = None

    async def load(self, db: asyncpg.Connection | asyncpg.Pool) -> None:
        """Take over what the table holds and this copy does not have yet."""
        if self.versions:
            rows = await db.fetch(
                """SELECT key, version, value FROM directory_entry
                   WHERE updated_at > now() - interval '10 minutes'"""
            )
        else:
            rows = await db.fetch("SELECT key, version, value FROM directory_entry")
        for row in rows:
            self.put(row["key"], row["version"], row["value"])

    def put(self, key: str, version: int, value: dict[str, Any] | None) -> bool:
        """Take an entry over when its version is higher; ``None`` removes it."""
        known = self.versions.get(key, -1)
        removal = value is None and key in self.entries
        if version < known or (version == known and not removal):
            return False
        self.versions[key] = version
        if value is None:
            self.entries.pop(key, None)
        else:
            self.entries[key] = value
        self.revision += 1
        self._by_organisation = self._by_uscc = None
        return True

    def all(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Every entry of one kind, e.g. ``organisation``: what follows the colon -> value."""
        start = f"{prefix}:"
        return {k[len(start) :]: v for k, v in self.entries.items() if k.startswith(start)}

    def organisation(self, code: str) -> dict[str, Any] | None:
        """An organisation by its code."""
        return self.entries.get(f"organisation:{code}")

    def organisation_by_uscc(self, uscc: str) -> str | None:
        """The code of the organisation with this unified social credit code."""
        if self._by_uscc is None:
            self._by_uscc = {
                o["uscc"]: c for c, o in self.all("organisation").items() if o.get("uscc")
            }
        return self._by_uscc.get(uscc)

    def place(self, code: str) -> dict[str, Any] | None:
        """A place by its 12 or 15 digits."""
        return self.entries.get(f"place:{code}")

    def place_in_force(self, code: str, on: date) -> bool:
        """Whether the place is in force on that day (both ends count)."""
        place = self.place(code)
        if place is None:
            return False
        day = on.isoformat()
        return (place.get("valid_from") or "") <= day <= (place.get("valid_to") or "9999")

    def place_chain(self, code: str) -> list[str]:
        """The place and everything above it, from below."""
        chain: list[str] = []
        while code and code not in chain:
            place = self.place(code)
            if place is None:
                break
            chain.append(code)
            code = place.get("parent") or ""
        return chain

    def connection(self, name: str) -> dict[str, Any] | None:
        """A connection by name."""
        return self.entries.get(f"connection:{name}")

    def connections_of(self, organisation: str) -> list[str]:
        """Names of the active connections that speak for an organisation."""
        if self._by_organisation is None:
            index: dict[str, list[str]] = {}
            for name, connection in self.all("connection").items():
                if connection.get("active", True):
                    for code in connection.get("organisations", ()):
                        index.setdefault(code, []).append(name)
            self._by_organisation = index
        return self._by_organisation.get(organisation, [])

    def kafka_connections(self) -> list[str]:
        """Names of the active connections that chose Kafka, sorted."""
        return sorted(
            name
            for name, c in self.all("connection").items()
            if c.get("kafka") and c.get("active", True)
        )

    def calendar(self, year: int) -> dict[str, Any] | None:
        """A year's calendar."""
        return self.entries.get(f"calendar:{year}")

    def key(self, kid: str) -> dict[str, Any] | None:
        """A published key: ``{use, jwk}``."""
        return self.entries.get(f"key:{kid}")

    def clock_offset_seconds(self) -> int:
        """Offset of a test installation's clock."""
        return int((self.entries.get("clock:offset") or {}).get("seconds", 0))
