"""Named places where a test may stop the process, to prove that nothing is lost or doubled there.

In a test installation ``LIANDIAO_FAILPOINTS="relay.after_ack:2,consumer.after_effect:1:freeze"``
ends the process with status 137 (as ``kill -9`` does) at the second, or stops it like SIGSTOP at
the first time the place is reached. Everywhere else a place is an empty call. The places are the
arguments of ``failpoint(…)`` in the source.
"""

import os
import re
import signal
from collections.abc import Callable
from typing import Final

STATUS: Final = 137
PLACE: Final = re.compile(r"^[a-z_]+\.[a-z_]+$")


class Failed(Exception):
    """What a place armed with ``raise`` raises."""


def _leave() -> None:
    os._exit(STATUS)


def _freeze() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _fail() -> None:
    raise Failed


MODES: Final[dict[str, Callable[[], None]]] = {"kill": _leave, "freeze": _freeze, "raise": _fail}

_armed: dict[str, tuple[int, Callable[[], None]]] = {}


def arm(place: str, hit: int = 1, action: Callable[[], None] = _leave) -> None:
    """Run ``action`` when ``place`` is reached for the ``hit``-th time (tests only)."""
    if not PLACE.match(place):
        raise ValueError(f"not the name of a failpoint: {place}")
    _armed[place] = (hit, action)


def disarm() -> None:
    """Make every place an empty call again."""
    _armed.clear()


def armed() -> frozenset[str]:
    """The places that were not reached often enough yet."""
    return frozenset(_armed)


def failpoint(place: str) -> None:
    """A place where a test may stop the process; does nothing otherwise."""
    if not _armed or place not in _armed:
        return
    hits_left, action = _armed[place]
    if hits_left > 1:
        _armed[place] = (hits_left - 1, action)
        return
    del _armed[place]
    action()


def arm_from_environment(text: str | None = None) -> None:
    """Arm what ``LIANDIAO_FAILPOINTS`` names. Raises ``ValueError`` for a wrong name or mode."""
    text = os.environ.get("LIANDIAO_FAILPOINTS", "") if text is None else text
    for item in filter(None, (part.strip() for part in text.split(","))):
        place, hit, mode = (*item.split(":"), "", "")[:3]
        if (mode or "kill") not in MODES:
            raise ValueError(f"not a way to fail: {mode}")
        arm(place, int(hit or 1), MODES[mode or "kill"])


if os.environ.get("LIANDIAO_TEST_INSTALLATION", "").lower() in {"1", "true", "yes", "on"}:
    arm_from_environment()
