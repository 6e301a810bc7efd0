"""State machines as tables: what an act turns a state into, and what refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: What the machines are of, in Chinese.
NOUNS: Final = {
    "agreement": "协议",
    "assignment": "派件",
    "confirmation": "司法确认",
    "mediation": "调解",
    "obligation": "义务",
    "session": "场次",
}


@dataclass(frozen=True)
class Refusal:
    """Why a rule says no: a slug for the machine, a sentence for the person, a source."""

    code: str
    message: str
    source: str = "site"


@dataclass(frozen=True)
class Machine:
    """A noun's states and the acts that move it; whatever is not listed is refused."""

    noun: str
    moves: Mapping[tuple[str, str], str]

    def after(self, state: str, act: str) -> str | Refusal:
        """Return the state that ``act`` leads to, or the refusal."""
        target = self.moves.get((state, act))
        if target is None:
            return Refusal(
                "state",
                f"{NOUNS[self.noun]}当前状态不允许这一步。/ The {self.noun} does not allow this"
                " step in its state.",
            )
        return target

    def allows(self, state: str, act: str) -> bool:
        """Tell whether ``act`` is possible in ``state``."""
        return (state, act) in self.moves

    def acts(self, state: str) -> tuple[str, ...]:
        """List what can be done in ``state``, in the table's order."""
        return tuple(act for (source, act) in self.moves if source == state)

    @property
    def states(self) -> frozenset[str]:
        """All states that occur."""
        return frozenset(state for state, _ in self.moves) | frozenset(self.moves.values())
