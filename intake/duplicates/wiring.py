"""What the room of duplicates adds to intake."""

from typing import Final

from intake.duplicates.endpoints import router
from intake.duplicates.handlers import TELL_JOINED, compare_waiting, tell_joined
from services.service import Loop

__all__ = ("JOBS", "LOOPS", "router")

# Behind live traffic: a few at a time, then others' turn; some twenty a second on an idle machine.
# What a storm leaves is worked off afterwards.
LOOPS: Final = (Loop("compare-referrals", compare_waiting, idle_seconds=0.3, gather_seconds=0.2),)
JOBS: Final = {TELL_JOINED: tell_joined}
