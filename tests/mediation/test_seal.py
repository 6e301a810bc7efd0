"""What is sealed stays sealed."""

import stat
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from mediation.seal import KEY_FILE, Seal


def test_a_sealed_value_opens_only_for_its_purpose_and_row(tmp_path: Path) -> None:
    box = Seal(tmp_path, "party-sheet")

    sealed = box.close({"name": "楼样明"}, "row-1")

    assert box.open(sealed, "row-1") == {"name": "楼样明"}
    assert "楼样明".encode() not in sealed
    for other, bound_to in ((box, "row-2"), (Seal(tmp_path, "note:a"), "row-1")):
        with pytest.raises(InvalidTag):
            other.open(sealed, bound_to)
    with pytest.raises(InvalidTag):
        box.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), "row-1")
    with pytest.raises(ValueError, match="version"):
        box.open(b"\x02" + sealed[1:], "row-1")


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    Seal(tmp_path / "keys", "a")

    path = tmp_path / "keys" / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == [KEY_FILE]
