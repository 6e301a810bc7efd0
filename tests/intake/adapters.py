"""What the tests of the adapters share: the samples, the demonstration county, small layouts."""

import csv
import io
import json
from copy import deepcopy
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from intake.adapters.layout import FOLDER, Layout, read_layout, shipped
from intake.adapters.places import DirectoryFolder
from intake.adapters.reading import rows
from intake.adapters.rows import Row
from intake.adapters.trial import Outcome, Trial
from tests.intake.world import SAMPLES

NATIVE = SAMPLES / "native"
TODAY = datetime(2026, 11, 20, 4, tzinfo=UTC)
LAYOUTS = sorted(shipped())


@lru_cache(1)
def places() -> DirectoryFolder:
    """The demonstration county, as a folder for ``directory import``."""
    return DirectoryFolder.read(SAMPLES)


def export(name: str) -> Path:
    """A sender's sample export, by the name of its layout."""
    (path,) = (each for each in NATIVE.glob(f"{name}.*") if not each.name.endswith(".expected.csv"))
    return path


def expected(name: str) -> list[dict[str, str]]:
    """What the rows of a sample export become, as its author says."""
    with (NATIVE / f"{name}.expected.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@lru_cache
def outcomes(name: str) -> tuple[Outcome, ...]:
    """What the rows of a sample export become."""
    with export(name).open("rb") as file:
        return tuple(Trial(shipped()[name], places(), TODAY).run(file))


@lru_cache
def sample_rows(name: str) -> tuple[Row, ...]:
    """The rows of a sample export as they are read."""
    with export(name).open("rb") as file:
        return tuple(rows(file, shipped()[name]))


def tried(body: bytes, name: str) -> list[Outcome]:
    """What the rows of these bytes become."""
    return list(Trial(shipped()[name], places(), TODAY).run(io.BytesIO(body)))


def raw_layout(name: str) -> dict[str, Any]:
    """A shipped mapping file as JSON, to be changed."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return deepcopy(found)


def written(folder: Path, raw: Any) -> Path:
    """A mapping file in a folder."""
    path = folder / "own.json"
    path.write_text(json.dumps(raw, ensure_ascii=False), encoding="utf-8")
    return path


def own_layout(folder: Path, raw: Any) -> Layout:
    """A mapping file, read back."""
    return read_layout(written(folder, raw))
