"""Interleaved pairs: the median of their ratios, with a bootstrap interval."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

DRAWS = 4000


@dataclass(frozen=True)
class Ratio:
    """The median of the pairs' ratios and its 95 % interval; few pairs give a wide one."""

    value: float
    low: float
    high: float
    pairs: int

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Each pair was measured side by side: pairs are drawn anew, never halves of different ones."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    chance = random.Random(7)
    drawn = sorted(median(chance.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    low, high = drawn[round(0.025 * DRAWS)], drawn[round(0.975 * DRAWS) - 1]
    return Ratio(median(ratios), low, high, len(ratios))
