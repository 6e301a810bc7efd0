"""Who calls: access tokens (ES256 JWT), scopes, parties with a receipt token."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.errors import Unauthenticated

if TYPE_CHECKING:
    from services.runtime import Runtime

ISSUER: Final = "liandiao"
AUDIENCE: Final = "liandiao"
ALGORITHM: Final = "ES256"
TOKEN_SECONDS: Final = 900


@dataclass(frozen=True)
class Caller:
    """A client that proved itself, acting for one organisation."""

    client_id: str
    connection: str
    organisation: str
    organisations: tuple[str, ...]
    scopes: frozenset[str]
    organisation_kind: str | None = None
    acted_by: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_service(self) -> bool:
        """One of the four services calling for itself."""
        return self.connection.startswith("svc-")


@dataclass(frozen=True)
class PartyCaller:
    """A party who exchanged a receipt: sees one case, as itself."""

    case_id: UUID
    party_id: UUID
    client_id: str


def sign(key: ECKey, claims: dict[str, Any], *, seconds: int = TOKEN_SECONDS) -> str:
    """A short-lived token signed by this installation; real time, never the test clock."""
    now = int(time.time())
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": "at+jwt"}
    return jwt.encode(
        header,
        {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + seconds, **claims},
        key,
        algorithms=[ALGORITHM],
    )


class TokenVerifier:
    """Verifies tokens alone, with the keys of the directory copy."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._keys: dict[str, tuple[str, ECKey]] = {}
        self._seen: dict[str, tuple[float, dict[str, Any], str]] = {}

    async def _key(self, kid: str) -> tuple[str, ECKey]:
        if kid not in self._keys:
            entry = self._runtime.directory.key(kid)
            if entry is None:
                await self._runtime.directory.load(self._runtime.pool)
                entry = self._runtime.directory.key(kid)
            if entry is None or entry.get("use") not in ("token", "party-token"):
                raise Unauthenticated()
            self._keys[kid] = (entry["use"], ECKey.import_key(entry["jwk"]))
        return self._keys[kid]

    async def claims(self, token: str) -> tuple[dict[str, Any], str]:
        """Verified claims and the use of the key that signed. Raises ``Unauthenticated``."""
        known = self._seen.get(token)
        if known and known[0] > time.time():
            return known[1], known[2]
        try:
            head = jwt.decode  # joserfc wants the key first: read the header ourselves
            from joserfc import jws

            kid = jws.extract_compact(token.encode()).headers().get("kid")
            if not isinstance(kid, str):
                raise Unauthenticated()
            use, key = await self._key(kid)
            claims = head(token, key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, UnicodeError) as error:
            raise Unauthenticated() from error
        expires = claims.get("exp")
        if (
            claims.get("iss") != ISSUER
            or claims.get("aud") != AUDIENCE
            or not isinstance(expires, int)
            or expires <= time.time()
        ):
            raise Unauthenticated()
        if len(self._seen) > 5000:
            self._seen.clear()
        self._seen[token] = (float(expires), claims, use)
        return claims, use
