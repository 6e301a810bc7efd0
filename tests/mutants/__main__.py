"""Applies each seeded fault to a copy of the tree and runs the test that must catch it.

``python -m tests.mutants [part of a name]``. Exit status 1 when one survives or does not apply.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.table import MUTANTS, ROOT, Mutant

SECONDS = 600


def copy_of_the_tree(folder: Path) -> None:
    """Every file that git knows or would know."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        source = ROOT / name
        if source.is_file() and not source.is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)


def run(mutant: Mutant, folder: Path) -> tuple[str, str]:
    """What became of it: caught, NOT caught, or does not apply; and how the test ended."""
    try:
        (folder / mutant.file).write_text(mutant.mutated(), "utf-8")
    except ValueError as error:
        return "does NOT apply", str(error)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    # Some tests are too long for every run; their faults are looked for all the same.
    length = "long" if "pytest.mark.long" in (folder / mutant.test).read_text("utf-8") else "short"
    environ = {**os.environ, "LIANDIAO_CRASH": length}
    try:
        done = subprocess.run(
            [*command, *os.environ.get("MUTANTS_PYTEST", "").split(), mutant.test],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return "caught", f"no end within {SECONDS} s"
    finally:
        shutil.copy2(ROOT / mutant.file, folder / mutant.file)
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]]
    # 1: tests failed. Anything else but 0 means that they did not run, which proves nothing.
    return {0: "NOT caught", 1: "caught"}.get(done.returncode, "did NOT run"), lines[-1]


def main(part: str = "") -> int:
    """Run those whose name holds ``part``; 1 when one was not caught."""
    chosen = [mutant for mutant in MUTANTS if part in mutant.name]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="liandiao-mutants-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        copy_of_the_tree(folder)
        for mutant in chosen:
            began = time.monotonic()
            result, detail = run(mutant, folder)
            survived += result != "caught"
            seconds = time.monotonic() - began
            print(f"{result:15} {seconds:6.1f} s  {mutant.name}  ({detail})", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} caught")
    return 1 if survived or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
