"""How mediation's refusals become problems."""

from typing import Final, NoReturn

from mediation.queue.rules import WINDOW_ELAPSED
from mediation.transition import Machine, Refusal
from services.errors import (
    AcceptanceWindowElapsed,
    CaseClosedProblem,
    Conflict,
    FieldError,
    IdempotencyInProgress,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    Invalid,
    Problem,
    VersionMismatch,
    VersionRequired,
)

#: What an act under an Idempotency-Key may be refused with.
KEYED: Final = (
    Conflict,
    CaseClosedProblem,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    IdempotencyInProgress,
)
#: What an act on a version may be refused with.
MOVES: Final = (*KEYED, VersionMismatch, VersionRequired)

#: Refusals that are a fault of one member of the body, and which.
FAULTS: Final = {
    "ground": "/ground",
    "end-code": "/outcome",
    "remedies-not-told": "/remedies_told",
    "report-missing": "/report",
    "not-a-party": "/parties",
    "two-sides": "/parties",
    "nobody-invited": "/parties",
    "session-length": "/ends_at",
    "amount": "/amount_fen",
    "in-future": "/occurred_at",
    "before-offer": "/occurred_at",
    "not-negotiable": "/clauses",
    "written-form": "/form",
    "not-bound": "/signer",
    "not-the-mediator": "/signer",
    "not-the-seal": "/signer",
    "e-signature": "/method",
    "wet-signature": "/method",
    "rights-not-told": "/rights_told",
    "identity-not-checked": "/identity_checked",
    "not-warned": "/false_mediation_warned",
    "too-many-of-a-side": "/attendance",
    "not-of-organisation": "/mediator_id",
    "not-a-mediator": "/mediator_id",
    "unknown-staff": "/acted_by",
    "not-a-court": "/court",
    "not-joint": "/applied_by",
    "before-effect": "/occurred_at",
    "before-application": "/occurred_at",
}


def problem(refusal: Refusal) -> Problem:
    """Turn a rule's refusal into the problem the caller gets."""
    if refusal.code == WINDOW_ELAPSED:
        return AcceptanceWindowElapsed(refusal.message)
    pointer = FAULTS.get(refusal.code)
    error = FieldError(pointer or "", refusal.code, refusal.message)
    if pointer is not None:
        return Invalid(refusal.message, errors=[error])
    return Conflict(refusal.message, errors=[error])


def refuse(refusal: Refusal | None) -> None:
    """Raise the problem when a rule refused."""
    if refusal is not None:
        raise problem(refusal)


def moved(machine: Machine, state: str, act: str) -> str:
    """The state that ``act`` leads to; raises the problem when the table does not list it."""
    after = machine.after(state, act)
    if isinstance(after, Refusal):
        raise problem(after)
    return after


def fail(code: str, message: str) -> NoReturn:
    """Raise a refusal that no rule module owns."""
    raise problem(Refusal(code, message))
