"""Imports as a part of intake: its endpoints, its loops, and the bodies it reads as a stream."""

import re
from typing import TYPE_CHECKING, Final

from intake.imports import repository
from intake.imports.drop import compare_nightly, look
from intake.imports.endpoints import router
from intake.imports.supervising import look_after
from services.service import Loop

if TYPE_CHECKING:
    from services.runtime import Runtime

__all__ = ["LOOPS", "STREAMS", "router"]

STREAMS: Final = re.compile(r"/v1/(imports|reconciliations)")


async def delete_files(runtime: "Runtime") -> int:
    """Delete uploaded files whose term is over."""
    return await repository.delete_files(runtime.pool, runtime.clock.now())


LOOPS: Final = (
    Loop("drop-folder", look, idle_seconds=2),
    Loop("reconcile-nightly", compare_nightly, idle_seconds=60),
    Loop("imports", look_after, idle_seconds=1),
    Loop("delete-imported-files", delete_files, idle_seconds=60),
)
