"""The key that signs access tokens: a file of mode 0600, its public half on the directory."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joserfc.jwk import ECKey

from routing.directory_import import publish

if TYPE_CHECKING:
    from services.runtime import Runtime

NAME: Final = "token-signing.json"


def load_or_make(folder: Path) -> ECKey:
    """The installation's signing key; made once, whoever comes first."""
    path = folder / NAME
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
        draft = folder / f".{NAME}.{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(key.as_dict(private=True), file)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return ECKey.import_key(json.loads(path.read_text(encoding="utf-8")))


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
