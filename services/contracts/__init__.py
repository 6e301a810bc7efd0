"""``docs/contracts`` and the tables in ``docs/``, made from the code and checked to be current."""

import json
import sys
from pathlib import Path
from typing import Any, Final

from services.contracts import asyncapi, compatible, documents, event_schemas, openapi
from services.events import load_catalogue

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = Path("docs/contracts")


def text(value: Any) -> str:
    """JSON as it is committed."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def samples(root: Path) -> dict[Path, str]:
    """A sample per event; a recorded one is never rewritten, a new shape gets the next number."""
    files: dict[Path, str] = {}
    for spec in load_catalogue().values():
        fresh = text(event_schemas.sample(spec))
        recorded = sorted((root / FOLDER / "events").glob(f"{spec.type}.sample*.json"))
        kept = {path.relative_to(root): path.read_text(encoding="utf-8") for path in recorded}
        files |= kept
        if fresh not in kept.values():
            number = f".{len(recorded) + 1}" if recorded else ""
            files[FOLDER / "events" / f"{spec.type}.sample{number}.json"] = fresh
    return files


def build(root: Path = ROOT) -> dict[Path, str]:
    """Every generated file, by its path in the repository."""
    catalogue = load_catalogue()
    described = openapi.all_documents()
    files = samples(root)
    for spec in catalogue.values():
        files[FOLDER / "events" / f"{spec.type}.schema.json"] = text(event_schemas.schema(spec))
    for name, document in described.items():
        files[FOLDER / f"openapi-{name}.json"] = text(document)
    topics = json.loads((root / "deploy/topics.json").read_text(encoding="utf-8"))
    files[FOLDER / "asyncapi.json"] = text(asyncapi.document(catalogue, topics))
    files[FOLDER / "problems.json"] = text(documents.problem_list())
    files[FOLDER / "problems.md"] = documents.problems()
    files[FOLDER / "topics.md"] = documents.topics(topics)
    scopes = json.loads((root / "deploy/scopes.json").read_text(encoding="utf-8"))
    files[FOLDER / "scopes.md"] = documents.scopes(scopes)
    access = json.loads((root / "deploy/access.json").read_text(encoding="utf-8"))
    files[Path("docs/events.md")] = documents.events(catalogue)
    files[Path("docs/endpoints.md")] = documents.endpoints(described, access)
    files[Path("docs/metrics.md")] = documents.metrics()
    return files


def stale(root: Path = ROOT, files: dict[Path, str] | None = None) -> list[Path]:
    """Generated files that differ from what is committed, missing and left over ones included."""
    files = build(root) if files is None else files
    found = [
        path
        for path, wanted in files.items()
        if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != wanted
    ]
    there = {
        path.relative_to(root) for path in (root / FOLDER).rglob("*") if path.suffix in (".json",)
    }
    return sorted({*found, *(there - set(files))})


def incompatible(root: Path = ROOT, files: dict[Path, str] | None = None) -> list[str]:
    """What the new contracts would break for those who rely on the committed ones."""
    files = build(root) if files is None else files
    found: list[str] = []
    for path in sorted((root / FOLDER).rglob("*.json")):
        relative = path.relative_to(root)
        old = json.loads(path.read_text(encoding="utf-8"))
        new = json.loads(files[relative]) if relative in files else None
        if relative.name.endswith(".schema.json"):
            faults = ["the event is gone"] if new is None else compatible.event(old, new)
        elif relative.name.startswith("openapi-"):
            faults = ["the service is gone"] if new is None else compatible.openapi(old, new)
        elif relative.name == "problems.json":
            faults = compatible.problems(old, new or [])
        else:
            continue
        found += [f"{relative}: {fault}" for fault in faults]
    return found


def main(check: bool = False) -> int:
    """Write the contracts, or with ``check`` only say what is not current.

    Refuses an incompatible change either way: such a change is a new major version (``.v2``)
    beside the old one.
    """
    files = build()
    broken = incompatible(files=files)
    for line in broken:
        print(f"incompatible: {line}", file=sys.stderr)  # noqa: T201
    if broken:
        print("add a new version beside the old one", file=sys.stderr)  # noqa: T201
        return 1
    behind = stale(files=files)
    if check:
        for path in behind:
            print(f"not current: {path}; run make schemas", file=sys.stderr)  # noqa: T201
        return 1 if behind else 0
    for path in behind:
        if path in files:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(files[path], encoding="utf-8")
            print(f"wrote {path}")  # noqa: T201
        else:
            (ROOT / path).unlink()
            print(f"removed {path}")  # noqa: T201
    return 0
