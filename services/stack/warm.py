"""Makes Java's ahead-of-time cache for Kafka once, in the background, for quicker later starts.

A throwaway Kafka runs once at the lowest priority and Java writes down what it loaded and compiled.
The cache lies beside the jars, for all copies on this machine; Java ignores one that does not fit.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from services.stack import jars
from services.stack.console import StackError
from services.stack.home import cache_folder
from services.stack.kafka import JVM, Kafka, java
from services.stack.layout import free_base
from services.stack.locks import hold
from services.stack.process import dies_with_parent

PATIENCE_SECONDS = 300
KEPT = 3


def cache_file(files: Sequence[Path]) -> Path:
    """Where the cache for these jars and this Java is, whether it is there or not."""
    made_from = [java(), str(os.stat(java()).st_mtime_ns), *JVM, *(str(file) for file in files)]
    name = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:16]
    return files[0].parent / f"kafka-{name}.aot"


def make(files: Sequence[Path]) -> None:
    """Make the cache unless it is there or somebody else is making it."""
    target = cache_file(files)
    lock = hold(target.with_suffix(".lock"))
    if lock is None or target.exists():
        return
    for left in target.parent.glob("warm-*"):
        shutil.rmtree(left, ignore_errors=True)
    with lock, tempfile.TemporaryDirectory(prefix="warm-", dir=target.parent) as folder:
        base = free_base(30000)
        kafka = Kafka(Path(folder) / "k", base + 1, base + 2, files, "warm", "warm")
        kafka.make()
        made = Path(folder) / "made.aot"
        argv = kafka.argv()
        process = subprocess.Popen(
            [argv[0], f"-XX:AOTCacheOutput={made}", *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=dies_with_parent(signal.SIGKILL),
        )
        try:
            kafka.wait(process)
            process.terminate()
            process.wait(PATIENCE_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if made.exists():
            made.chmod(0o644)
            os.replace(made, target)
            caches = sorted(
                target.parent.glob("kafka-*.aot"), key=lambda file: file.stat().st_mtime
            )
            for old in caches[:-KEPT]:
                old.unlink()


def main() -> None:
    """Make it for the jars of this release, leaving the machine to everything else."""
    os.nice(19)
    with contextlib.suppress(StackError, subprocess.SubprocessError, OSError):
        make(jars.ensure(cache_folder()))


if __name__ == "__main__":
    main()
