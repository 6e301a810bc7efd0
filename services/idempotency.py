"""Idempotency keys: the answer is stored in the transaction of the change (contracts section 8)."""

import asyncio
import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import orjson
from fastapi import Depends, Header, Request, Response

from services.errors import (
    FieldError,
    IdempotencyInProgress,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    Malformed,
)
from services.http import Unit

if TYPE_CHECKING:
    from services.runtime import Runtime

KEPT: Final = timedelta(hours=72)
WAIT_SECONDS: Final = 2.0
_KEY: Final = re.compile(r"^[A-Za-z0-9_-]{16,64}$")


def fingerprint(path: str, body: bytes) -> bytes:
    """SHA-256 over path and canonical body (RFC 8785: sorted members, no blanks)."""
    try:
        canonical = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONDecodeError:
        canonical = body
    return hashlib.sha256(path.encode() + b"\n" + canonical).digest()


class OnceState:
    """Whether this very request was answered before, and the place to store its answer."""

    def __init__(self, uow: Unit, response: Response) -> None:
        self._uow = uow
        self._response = response
        self._scope: tuple[str, str, str, str] | None = None
        self._fingerprint = b""
        self.replayed = False
        self.status = 0
        self.location: str | None = None
        self.resource_id: str = ""

    async def look_up(self, scope: tuple[str, str, str, str], print_: bytes) -> None:
        """Take the lock of this key and read what is stored under it.

        Raises ``IdempotencyInProgress`` after 2 s, ``IdempotencyKeyReused`` for another body.
        """
        self._scope, self._fingerprint = scope, print_
        number = int.from_bytes(
            hashlib.sha256("\n".join(scope).encode()).digest()[:8], "big", signed=True
        )
        loop = asyncio.get_running_loop()
        end = loop.time() + WAIT_SECONDS
        while not await self._uow.db.fetchval("SELECT pg_try_advisory_xact_lock($1)", number):
            if loop.time() > end:
                raise IdempotencyInProgress(retry_after_seconds=1)
            await asyncio.sleep(0.05)
        row = await self._uow.db.fetchrow(
            """SELECT fingerprint, status, location, resource_id FROM idempotency
               WHERE client_id = $1 AND method = $2 AND route = $3 AND key = $4
                 AND created_at > now() - $5::interval""",
            *scope,
            KEPT,
        )
        if row is None:
            return
        if row["fingerprint"] != print_:
            raise IdempotencyKeyReused()
        self.replayed = True
        self.status, self.location = row["status"], row["location"]
        self.resource_id = row["resource_id"] or ""
        self._response.headers["Idempotency-Replayed"] = "true"
        if self.location:
            self._response.headers["Location"] = self.location
        self._response.status_code = self.status

    async def store(
        self, status: int, *, location: str | None = None, resource_id: str | None = None
    ) -> None:
        """Keep the answer in this transaction; sets ``Location`` as well."""
        if location:
            self._response.headers["Location"] = location
        self.status, self.location, self.resource_id = status, location, resource_id or ""
        if self._scope is None:
            return
        await self._uow.db.execute(
            """INSERT INTO idempotency
                 (client_id, method, route, key, fingerprint, status, location, resource_id)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
               ON CONFLICT (client_id, method, route, key) DO UPDATE
               SET fingerprint = excluded.fingerprint, status = excluded.status,
                 location = excluded.location, resource_id = excluded.resource_id,
                 created_at = now()""",
            *self._scope,
            self._fingerprint,
            status,
            location,
            resource_id,
        )


def read_key(text: str) -> str:
    """The key without quotes. Raises ``Malformed`` for another form."""
    key = text.strip().strip('"')
    if not _KEY.match(key):
        fault = FieldError(
            "#header/Idempotency-Key",
            "pattern",
            "须为十六至六十四位字母、数字、下划线或者连字符。/ 16 to 64 of A-Z, a-z, 0-9, _ and -",
        )
        raise Malformed("the Idempotency-Key is not well formed", errors=[fault])
    return key


async def _once(
    request: Request,
    response: Response,
    uow: Unit,
    idempotency_key: str | None,
) -> OnceState:
    state = OnceState(uow, response)
    if idempotency_key is None:
        return state
    key = read_key(idempotency_key)
    client = uow.caller.client_id if uow.caller else uow.actor.name
    route = request.scope["route"].path
    await state.look_up(
        (client, request.method, route, key), fingerprint(request.url.path, await request.body())
    )
    return state


KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="16 to 64 of A-Z a-z 0-9 _ -; the same key with the same body answers the same",
    ),
]


async def required(
    request: Request, response: Response, uow: Unit, idempotency_key: KeyHeader = None
) -> OnceState:
    """Idempotency-Key required. Raises ``IdempotencyKeyMissing``."""
    if idempotency_key is None:
        raise IdempotencyKeyMissing()
    return await _once(request, response, uow, idempotency_key)


async def optional(
    request: Request, response: Response, uow: Unit, idempotency_key: KeyHeader = None
) -> OnceState:
    """Idempotency-Key honoured when it is there (a natural key protects the rest)."""
    return await _once(request, response, uow, idempotency_key)


Once = Annotated[OnceState, Depends(required)]
OnceIfKeyed = Annotated[OnceState, Depends(optional)]


async def purge(runtime: "Runtime") -> int:
    """Delete keys older than 72 h; answers how many."""
    status = await runtime.pool.execute(
        """DELETE FROM idempotency WHERE ctid IN (SELECT ctid FROM idempotency
           WHERE created_at < now() - $1::interval LIMIT 1000)""",
        KEPT,
    )
    return int(status.split()[-1])
