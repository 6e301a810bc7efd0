"""The key that signs access tokens: a file of mode 0600, its public half on the directory."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joserfc.jwk import ECKey

from routing.directory_import import publish
from services.key_file import made_once

if TYPE_CHECKING:
    from services.runtime import Runtime

NAME: Final = "token-signing.json"


def load_or_make(folder: Path) -> ECKey:
    """The installation's signing key; made once, whoever comes first."""

    def make() -> bytes:
        key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
        return json.dumps(key.as_dict(private=True)).encode()

    return ECKey.import_key(json.loads(made_once(folder / NAME, make)))


def public(key: ECKey) -> dict[str, Any]:
    """What others need to verify."""
    return dict(key.as_dict(private=False))


def signing_key(runtime: "Runtime") -> ECKey:
    """The key of this process, read once."""
    if "routing.key" not in runtime.state:
        runtime.state["routing.key"] = load_or_make(runtime.settings.keys_dir)
    key: ECKey = runtime.state["routing.key"]
    return key


async def publish_key(runtime: "Runtime") -> None:
    """Put the public half on the directory, unless it is there."""
    key = signing_key(runtime)
    name = f"key:{key.kid}"
    if runtime.directory.entries.get(name) is not None:
        return
    async with runtime.unit_of_work() as uow:
        await publish(uow, {name: {"use": "token", "jwk": public(key)}})
    await runtime.refresh_directory()
