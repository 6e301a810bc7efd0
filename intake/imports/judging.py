"""What each row of a batch becomes, by processor time alone: convert, check, seal. No database.

Runs in processes of its own (``start`` once in each, then ``judge``), so that live requests do not
wait for it; a test may call a ``Judge`` where it stands.
"""

import gc
import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from intake.adapters.conversion import Finding
from intake.adapters.layout import Layout
from intake.adapters.messages import message as adapter_message
from intake.adapters.places import DirectoryFolder
from intake.adapters.rows import Row
from intake.adapters.trial import Trial
from intake.gates import model as gates
from intake.handlers import fingerprint, prepare
from intake.imports.registering import Filed, filed
from intake.matters.errors import CODE as NO_DISPUTE
from intake.messages import message
from intake.model import Referral
from intake.parties.handlers import named
from intake.safety.rules import alerts_of_concerns
from intake.vault import FileKeyProvider, Vault
from services.directory import DirectoryCopy
from services.messaging.handling import error_code, error_place

log = structlog.get_logger(__name__)
ORGANISATION: Final = "/source/organisation"


@dataclass(frozen=True)
class Task:
    """What is the same for every row of an import."""

    import_id: UUID
    layout: str
    organisations: tuple[str, ...]
    connection: str
    dry: bool
    now: datetime


@dataclass(frozen=True)
class Judged:
    """A row as it may be written.

    ``filed`` can be written with many others; a ``document`` has to be submitted alone, as a
    POST would, because more follows from it than rows. Neither when it is refused, or in a dry run.
    """

    row: int
    line: int
    refused: bool
    reasons: list[dict[str, Any]]
    key: tuple[str, str] | None = None
    content: bytes | None = None
    mark: bytes | None = None
    filed: Filed | None = None
    document: dict[str, Any] | None = None


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
        self._trials: dict[UUID, Trial] = {}

    def judge(self, task: Task, rows: list[Row]) -> list[Judged]:
        """Every row of the batch, in order."""
        if task.import_id not in self._trials:
            layout = Layout.model_validate_json(task.layout)
            self._trials = {task.import_id: Trial(layout, self.folder, task.now, self.directory)}
        trial = self._trials[task.import_id]
        trial.now = task.now
        return [self._guarded(task, trial, row) for row in rows]

    def _guarded(self, task: Task, trial: Trial, row: Row) -> Judged:
        try:
            return self.one(task, trial, row)
        except Exception as error:  # an edge: a fault of ours in one row must not stop the others
            log.error("row not understood", code=error_code(error), place=error_place(error))
            rule = "row_not_understood"
            found = Finding("refused", None, rule, adapter_message(rule))
            return Judged(row.number, row.line, True, [reason(found)])

    def one(self, task: Task, trial: Trial, row: Row) -> Judged:
        """What one row becomes."""
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
        content = fingerprint(self.vault, referral)
        whole = partial(Judged, row.number, row.line, False, reasons, key, content)
        facts = gates.facts_of(referral, self.directory)
        barred = _barred(referral, facts)
        if task.dry:
            if barred is not None:
                return replace(whole(), refused=True, reasons=[*reasons, barred])
            return whole(mark=self._mark(key))
        if barred is not None or not _plain(referral):
            return whole(document=referral.document)
        # Sealed here: the plain document stays in this process.
        warnings = (*seen.verdict.warnings, *gates.doubts(facts))
        made = prepare(referral, content, warnings, self.directory, self.vault)
        return whole(filed=filed(made, task.connection))

    def _mark(self, key: tuple[str, str]) -> bytes:
        """Keyed, so that a list of references cannot be tried out on the table."""
        secret = self.vault.keys.secret("import-mark")
        return hmac.digest(secret, "\n".join(key).encode(), hashlib.sha256)[:16]


def _barred(referral: Referral, facts: gates.Facts) -> dict[str, Any] | None:
    """Why a run would put this row on record as a refusal or as another matter, if it would."""
    if referral.document.get("kind", "dispute") != "dispute":
        return reason(Finding("refused", None, NO_DISPUTE, message(NO_DISPUTE), "/kind"))
    gate = gates.refusing(facts)
    if gate is None:
        return None
    found = gate.finding()
    return reason(Finding("refused", None, found.code, found.message, found.pointer))


def _plain(referral: Referral) -> bool:
    """Whether registering an open matter is rows and two events: nobody who acts, no alarm."""
    if alerts_of_concerns(referral.concerns):
        return False
    if not any({"representative", "represented_by"} & f.details.keys() for f in referral.parties):
        return True
    refs = {facts.ref: UUID(int=n) for n, facts in enumerate(referral.parties)}
    return not any(named(facts, refs) for facts in referral.parties)


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
    settle()


def settle() -> None:
    """What is in memory now stays: the garbage collector need not walk it after every batch."""
    gc.collect()
    gc.freeze()


def judge(task: Task, rows: list[Row]) -> list[Judged]:
    """What the rows become; ``start`` was called before."""
    if _judge is None:
        raise RuntimeError("judge before start")
    return _judge.judge(task, rows)
