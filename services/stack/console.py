"""What the supervisor says: plain lines with the time, and one sentence when it cannot go on."""

import contextlib
import sys
import time


class StackError(Exception):
    """The stack cannot go on; the message is one plain sentence for the person at the terminal."""


def say(text: str = "") -> None:
    """Write one line; a closed terminal never stops the stack."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def tell(text: str) -> None:
    """Write one line with the local time before it."""
    say(f"{time.strftime('%H:%M:%S')}  {text}")
