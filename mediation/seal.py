"""Mediation's own seal: a key per purpose, all of them from one file."""

from pathlib import Path
from typing import Final

from services import seal

KEY_FILE: Final = "mediation-vault.key"


class Seal(seal.Seal):
    """Seals what is personal or said in confidence, with this installation's key."""

    def __init__(self, keys_dir: Path, purpose: str) -> None:
        super().__init__(Path(keys_dir) / KEY_FILE, purpose)
