"""Sealing keys: what a command's sender encrypts personal members to (JWE), and how we open it.

Compact JWE, ``ECDH-ES+A256KW`` with ``A256GCM``, ``kid`` of a key published at
``GET /v1/sealing-keys`` and on ``directory`` as ``key:<kid>`` (contracts section 2).
"""

import json
from pathlib import Path
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.key_file import made_once

ALGORITHMS: Final = ["ECDH-ES+A256KW", "A256GCM"]
MAX_PLAINTEXT: Final = 190_000
MAX_TOKEN: Final = 262_144


class _Registry(jwe.JWERegistry):
    """The library's own limit of 64 KiB is below what one record of the stream may carry."""

    max_ciphertext_length = MAX_TOKEN


_REGISTRY: Final = _Registry(algorithms=ALGORITHMS)


class CannotUnseal(Exception):
    """``rule``: sealed_missing, sealed_broken, sealing_key_unknown or sealed_too_large."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class SealingKeys:
    """Private keys in a folder (``<kid>.jwk``), one made when there is none; the newest is used."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not any(folder.glob("*.jwk")):
            made_once(folder / "seal-1.jwk", _made_key)
        self._keys: dict[str, ECKey] = {}
        for path in sorted(folder.glob("*.jwk")):
            key = ECKey.import_key(json.loads(path.read_text()))
            self._keys[str(key.kid)] = key

    def public(self) -> list[dict[str, Any]]:
        """The public keys as JWK, newest last."""
        return [
            {**key.as_dict(private=False), "kid": kid, "use": "enc", "alg": ALGORITHMS[0]}
            for kid, key in self._keys.items()
        ]

    def unseal(self, token: Any) -> bytes:
        """The plaintext, byte for byte. Raises :class:`CannotUnseal`."""
        if not isinstance(token, str) or not token:
            raise CannotUnseal("sealed_missing")
        if len(token) > MAX_TOKEN:
            raise CannotUnseal("sealed_too_large")
        try:
            found = jwe.decrypt_compact(token, self._find, registry=_REGISTRY)
        except (JoseError, ValueError, KeyError, TypeError):
            raise CannotUnseal("sealed_broken") from None
        plaintext = bytes(found.plaintext or b"")
        if len(plaintext) > MAX_PLAINTEXT:
            raise CannotUnseal("sealed_too_large")
        return plaintext

    def _find(self, recipient: Any) -> ECKey:
        kid = recipient.headers().get("kid")
        if kid not in self._keys:
            raise CannotUnseal("sealing_key_unknown")
        return self._keys[kid]


def seal(plaintext: bytes, public_jwk: dict[str, Any]) -> str:
    """What a sender does: seal bytes to one of our public keys."""
    header = {"alg": ALGORITHMS[0], "enc": ALGORITHMS[1], "kid": public_jwk["kid"]}
    known = {name: public_jwk[name] for name in ("kty", "crv", "x", "y")}
    return jwe.encrypt_compact(header, plaintext, ECKey.import_key(known), algorithms=ALGORITHMS)


def _made_key() -> bytes:
    key = ECKey.generate_key("P-256", private=True)
    kid = "seal-" + key.thumbprint()[:16].lower().replace("_", "x").replace("-", "y")
    return json.dumps({**key.as_dict(private=True), "kid": kid}).encode()
