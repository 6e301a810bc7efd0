"""How long the state machines run: short with the suite, longer with ``LIANDIAO_CRASH=long``."""

import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings

LONG = os.environ.get("LIANDIAO_CRASH") == "long"
# A test that hangs ends; the long form takes minutes, more of them on a busy machine.
MOST_SECONDS: Final = 1800 if LONG else 240


def of(examples: int, steps: int) -> settings:
    """So many examples of so many steps, the same ones in every run.

    When it is long: fifty times as many, of twice as many steps, drawn anew each time, and one
    that fails is made as short as can be, which takes minutes.
    """
    return settings(
        max_examples=examples * 50 if LONG else examples,
        stateful_step_count=steps * 2 if LONG else steps,
        derandomize=not LONG,
        phases=list(Phase) if LONG else [Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
