"""Reading our own source for the checks of this folder."""

import ast
import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("intake", "routing", "mediation", "notification")


def files(*packages: str) -> list[Path]:
    """Python files of these packages, migrations left out."""
    return [
        path
        for package in packages
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in path.parts and "alembic_env" not in path.parts
    ]


@cache
def tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, anywhere in it; imports by string do not count."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def words(name: str) -> set[str]:
    """The words of an identifier, in snake or camel case, and their pairs."""
    spaced = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).replace("-", "_")
    parts = [part for part in spaced.split("_") if part]
    return {*parts, *("_".join(pair) for pair in itertools.pairwise(parts))}
