"""What each row of a batch becomes, by processor time alone: convert, check, seal. No database.

Runs in processes of its own (``start`` once in each, then ``judge``), so that live requests do not
wait for it; a test may call a ``Judge`` where it stands.
"""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from intake.adapters.conversion import Finding
from intake.adapters.layout import Layout
from intake.adapters.places import DirectoryFolder
from intake.adapters.rows import Row
from intake.adapters.trial import Trial
from intake.handlers import Prepared, fingerprint, prepare
from intake.messages import message
from intake.model import Referral
from intake.vault import FileKeyProvider, Vault
from services.directory import DirectoryCopy
from services.errors import FieldError

ORGANISATION: Final = "/source/organisation"


@dataclass(frozen=True)
class Task:
    """What is the same for every row of an import."""

    import_id: UUID
    layout: str
    organisations: tuple[str, ...]
    dry: bool
    now: datetime


@dataclass(frozen=True)
class Judged:
    """A row as it may be written: ``prepared`` is None when it is refused, or in a dry run."""

    row: int
    line: int
    refused: bool
    reasons: list[dict[str, Any]]
    key: tuple[str, str] | None = None
    content: bytes | None = None
    mark: bytes | None = None
    prepared: Prepared | None = None


class Judge:
    """Directory and vault of one process."""

    def __init__(self, entries: dict[str, dict[str, Any]], keys_dir: Path) -> None:
        self.directory = DirectoryCopy()
        for key, value in entries.items():
            self.directory.put(key, 1, value)
        self.folder = DirectoryFolder(
            [{**o, "code": c} for c, o in self.directory.all("organisation").items()],
            [{**p, "code": c} for c, p in self.directory.all("place").items()],
        )
        self.vault = Vault(FileKeyProvider(keys_dir / "intake" / "vault"))
        self._layouts: dict[UUID, Layout] = {}

    def judge(self, task: Task, rows: list[Row]) -> list[Judged]:
        """Every row of the batch, in order."""
        if task.import_id not in self._layouts:
            self._layouts = {task.import_id: Layout.model_validate_json(task.layout)}
        layout = self._layouts[task.import_id]
        trial = Trial(layout, self.folder, task.now, self.directory)
        return [self._one(task, trial, row) for row in rows]

    def _one(self, task: Task, trial: Trial, row: Row) -> Judged:
        seen = trial.examine(row)
        reasons = [reason(found) for found in seen.reasons]
        referral = seen.verdict.referral if seen.verdict else None
        if seen.refused or referral is None or seen.verdict is None:
            return Judged(row.number, row.line, True, reasons)
        if referral.organisation not in task.organisations:
            rule = "organisation_not_yours"
            own = Finding("refused", None, rule, message(rule), ORGANISATION)
            return Judged(row.number, row.line, True, [*reasons, reason(own)])
        key = (referral.organisation, referral.normal_reference)
        if task.dry:
            return Judged(
                row.number,
                row.line,
                False,
                reasons,
                key,
                fingerprint(self.vault, referral),
                self._mark(key),
            )
        made = self._prepared(referral, seen.verdict.warnings)
        return Judged(row.number, row.line, False, reasons, key, made.fingerprint, None, made)

    def _prepared(self, referral: Referral, warnings: tuple[FieldError, ...]) -> Prepared:
        """Sealed; the plain document stays in this process."""
        made = prepare(referral, warnings, self.directory, self.vault)
        bare = replace(referral, document={}, parties=(), legal_context={})
        return replace(made, referral=bare)

    def _mark(self, key: tuple[str, str]) -> bytes:
        """Keyed, so that a list of references cannot be tried out on the table."""
        secret = self.vault.keys.secret("import-mark")
        return hmac.digest(secret, "\n".join(key).encode(), hashlib.sha256)[:16]


def reason(found: Finding) -> dict[str, Any]:
    """A finding as it is kept and shown: never with a value in it."""
    return {
        "level": found.level,
        "column": found.column,
        "pointer": found.pointer,
        "rule": found.rule,
        "message": found.message,
    }


_judge: Judge | None = None


def start(entries: dict[str, dict[str, Any]], keys_dir: Path) -> None:
    """Make this process ready to judge."""
    global _judge
    _judge = Judge(entries, keys_dir)


def judge(task: Task, rows: list[Row]) -> list[Judged]:
    """What the rows become; ``start`` was called before."""
    if _judge is None:
        raise RuntimeError("judge before start")
    return _judge.judge(task, rows)
