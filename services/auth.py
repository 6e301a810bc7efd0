"""Who calls: access tokens (ES256 JWT), scopes, parties with a receipt token."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.errors import Unauthenticated

if TYPE_CHECKING:
    from services.runtime import Runtime

ISSUER: Final = "liandiao"
AUDIENCE: Final = "liandiao"
ALGORITHM: Final = "ES256"
TYPE: Final = "at+jwt"
TOKEN_SECONDS: Final = 900
# How far the clocks of two machines of one installation may be apart.
SKEW_SECONDS: Final = 5
RELOAD_SECONDS: Final = 1.0


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
    """A party who exchanged a receipt: sees one case, as itself.

    ``representative`` is the receipt of whoever follows the case for the party.
    """

    case_id: UUID
    party_id: UUID
    client_id: str
    representative: UUID | None = None


def sign(key: ECKey, claims: dict[str, Any], *, seconds: int = TOKEN_SECONDS) -> str:
    """A short-lived token signed by this installation; real time, never the test clock."""
    now = int(time.time())
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": TYPE}
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
        self._imported: dict[str, tuple[dict[str, Any], ECKey]] = {}
        self._seen: dict[str, tuple[float, dict[str, Any], str]] = {}
        self._loaded_at = float("-inf")

    async def _entry(self, kid: str) -> dict[str, Any]:
        """The published key of that name; a withdrawn one is refused at once.

        An unknown name makes the copy load anew, at most once a second, whoever asks.
        """
        entry = self._runtime.directory.key(kid)
        if entry is None and time.monotonic() - self._loaded_at > RELOAD_SECONDS:
            self._loaded_at = time.monotonic()
            await self._runtime.directory.load(self._runtime.pool)
            entry = self._runtime.directory.key(kid)
        if entry is None or entry.get("use") not in ("token", "party-token"):
            raise Unauthenticated()
        return entry

    def _key(self, kid: str, jwk: dict[str, Any]) -> ECKey:
        known = self._imported.get(kid)
        if known is None or known[0] != jwk:
            known = self._imported[kid] = (jwk, ECKey.import_key(jwk))
        return known[1]

    def seen(self, token: str) -> dict[str, Any] | None:
        """The claims of a client's token that was verified before and has not expired.

        Good for refusing early, never for admitting: its key may be withdrawn since.
        """
        known = self._seen.get(token)
        return known[1] if known and known[2] == "token" and known[0] > time.time() else None

    async def claims(self, token: str) -> tuple[dict[str, Any], str]:
        """Verified claims and the use of the key that signed. Raises ``Unauthenticated``.

        One algorithm, one type (RFC 9068), our issuer and audience; the key is found by its name
        in the directory and nowhere else, whatever the header offers (RFC 8725, sections 3.1, 3.8).
        """
        try:
            header = jws.extract_compact(token.encode()).headers()
            kid = header.get("kid")
            if not isinstance(kid, str) or header.get("typ") != TYPE:
                raise Unauthenticated()
            entry = await self._entry(kid)
            known = self._seen.get(token)
            if known and known[0] > time.time():
                return known[1], known[2]
            claims = jwt.decode(token, self._key(kid, entry["jwk"]), algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, UnicodeError) as error:
            raise Unauthenticated() from error
        if not _in_force(claims, time.time()):
            raise Unauthenticated()
        if len(self._seen) > 5000:
            self._seen.clear()
        self._seen[token] = (float(claims["exp"]), claims, entry["use"])
        return claims, str(entry["use"])


def _in_force(claims: Mapping[str, Any], now: float) -> bool:
    """Issued by us, for us, to somebody, and neither too early nor too late (seconds, UTC)."""
    instants = [claims.get(name, 0) for name in ("iat", "nbf")]
    expires = claims.get("exp")
    return (
        claims.get("iss") == ISSUER
        and claims.get("aud") == AUDIENCE
        and isinstance(claims.get("sub"), str)
        and bool(claims["sub"])
        and isinstance(expires, int)
        and now < expires
        and all(isinstance(at, int) and at <= now + SKEW_SECONDS for at in instants)
    )
