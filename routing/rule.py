"""What a rule is: a predicate with a code, a citation and its sentence in two languages. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from routing.model import Candidate, CaseFacts


@dataclass(frozen=True, slots=True)
class Rule:
    """A true statement about a competent body; false means: not this one."""

    code: str
    source: str
    holds: Callable[[CaseFacts, Candidate], bool]
    refusal_zh: str
    refusal_en: str

    @property
    def statement(self) -> str:
        """The rule as a sentence."""
        return (self.holds.__doc__ or "").strip()


@dataclass(frozen=True, slots=True)
class Preference:
    """Which of two competent bodies comes first: the lower value."""

    code: str
    source: str
    value: Callable[[CaseFacts, Candidate], Any]
    reason_zh: str
    reason_en: str

    @property
    def statement(self) -> str:
        """The preference as a sentence."""
        return (self.value.__doc__ or "").strip()


def rule(
    code: str, *, source: str, zh: str, en: str
) -> Callable[[Callable[[CaseFacts, Candidate], bool]], Rule]:
    """Make a predicate a rule; ``zh`` and ``en`` say why a body that fails it is not competent."""
    return lambda holds: Rule(code, source, holds, zh, en)


def preference(
    code: str, *, source: str, zh: str, en: str
) -> Callable[[Callable[[CaseFacts, Candidate], Any]], Preference]:
    """Make a key a preference; ``zh`` and ``en`` say why the first comes first."""
    return lambda value: Preference(code, source, value, zh, en)
