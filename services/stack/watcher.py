"""Ends the children of a supervisor that died, where the kernel cannot (not Linux).

Its standard input is a pipe from the supervisor: when that closes, the supervisor is gone.
"""

import contextlib
import sys
from pathlib import Path

from services.stack.process import end_stale


def main() -> None:
    """Wait for the end of standard input, then end what the pid files name."""
    with contextlib.suppress(OSError):
        while sys.stdin.buffer.read(4096):
            pass
    end_stale(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
