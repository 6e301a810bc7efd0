"""Work on bytes that strangers made, in a process of its own with hard limits.

A parser of pictures or PDFs may be led astray by its input, and a thread cannot be stopped. So the
bytes go to a child that has no secret, no database and no network address of ours in its
environment, little memory, few seconds, and may write no file; what it answers is bytes again.
"""

import asyncio
import contextlib
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson

ROOT: Final = Path(__file__).resolve().parent.parent
MEBIBYTE: Final = 1024 * 1024
# Children at a time: each may take a core, and two cores carry everything else.
AT_ONCE: Final = 2
_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]] = WeakKeyDictionary()
_REFUSED: Final = 3


class ConfinedRefused(Exception):
    """The child will not do it: the input is broken, a bomb, or not what it claims to be."""


class ConfinedOverrun(Exception):
    """The child took too long, too much memory, or answered too much."""


async def confined(
    module: str,
    request: dict[str, Any],
    data: bytes = b"",
    *,
    seconds: int = 20,
    memory_bytes: int = 1024 * MEBIBYTE,
    most_bytes: int = 64 * MEBIBYTE,
) -> bytes:
    """What ``module``'s ``serve`` answers to the request and the data.

    Raises ``ConfinedRefused`` when it declines, ``ConfinedOverrun`` beyond a limit.
    """
    head = orjson.dumps(request)
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))
    async with turns:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            str(memory_bytes),
            str(seconds),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds + 5):
                answer, _ = await child.communicate(struct.pack(">I", len(head)) + head + data)
        except TimeoutError:
            raise ConfinedOverrun from None
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()
    if child.returncode == _REFUSED:
        raise ConfinedRefused
    if child.returncode != 0 or len(answer) > most_bytes:
        raise ConfinedOverrun
    return answer


def serve(work: Callable[[dict[str, Any], bytes], bytes], *refusals: type[Exception]) -> None:
    """The child's side: take limits, read the request, answer it; one of ``refusals`` declines."""
    memory_bytes, seconds = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    whole = sys.stdin.buffer.read()
    length = struct.unpack(">I", whole[:4])[0]
    try:
        answer = work(orjson.loads(whole[4 : 4 + length]), whole[4 + length :])
    except refusals:
        os._exit(_REFUSED)
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    os._exit(0)
