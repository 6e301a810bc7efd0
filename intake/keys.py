"""The keys of this process: the vault's, the sealing keys, and the one that signs party tokens."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joserfc.jwk import ECKey

from intake.sealing import SealingKeys
from intake.vault import FileKeyProvider, Vault
from services.key_file import made_once

if TYPE_CHECKING:
    from services.runtime import Runtime

_STATE = "intake.keys"


@dataclass(frozen=True)
class Keys:
    """All keys of intake, from one folder by default."""

    vault: Vault
    sealing: SealingKeys
    party_token: ECKey

    @classmethod
    def from_folder(cls, folder: Path) -> "Keys":
        """Read the keys, making what is missing."""
        return cls(
            Vault(FileKeyProvider(folder / "vault")),
            SealingKeys(folder / "sealing"),
            _party_token_key(folder),
        )

    @property
    def receipt(self) -> bytes:
        """The secret that receipts are derived from."""
        return self.vault.keys.secret("receipt")

    def published(self) -> dict[str, dict[str, Any]]:
        """What others need: ``key:<kid>`` entries of the directory."""
        public = self.party_token.as_dict(private=False)
        answer: dict[str, dict[str, Any]] = {
            f"key:{self.party_token.kid}": {"use": "party-token", "jwk": public}
        }
        for jwk in self.sealing.public():
            answer[f"key:{jwk['kid']}"] = {"use": "sealing", "jwk": jwk}
        return answer


def keys_of(runtime: "Runtime") -> Keys:
    """The process's keys, read once."""
    if _STATE not in runtime.state:
        runtime.state[_STATE] = Keys.from_folder(runtime.settings.keys_dir / "intake")
    found: Keys = runtime.state[_STATE]
    return found


async def publish_keys(runtime: "Runtime") -> None:
    """On start: put public keys on ``directory`` unless they are there; use them here at once."""
    entries = keys_of(runtime).published()
    missing = {k: v for k, v in entries.items() if runtime.directory.entries.get(k) is None}
    if not missing:
        return
    async with runtime.unit_of_work() as uow:
        for key, value in missing.items():
            uow.publish_directory(key, value, version=1)
    for key, value in missing.items():
        runtime.directory.put(key, 0, value)


def _party_token_key(folder: Path) -> ECKey:
    def make() -> bytes:
        key = ECKey.generate_key("P-256", private=True)
        kid = f"party-{key.thumbprint()[:16]}"
        return json.dumps({**key.as_dict(private=True), "kid": kid}).encode()

    return ECKey.import_key(json.loads(made_once(folder / "party-token.jwk", make)))
