"""``python -m bench``: measure this machine and this build, write docs/performance.md."""

import argparse
import contextlib
import os

from bench import machine
from bench.installation import ROOT
from bench.parts import BY_NAME, PARTS, chosen
from bench.run import Run


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the time, less sure")
    parser.add_argument("--disk", action="store_true", help="keep the data on disk, not in memory")
    parser.add_argument("--folder", help="parent of the data folder")
    parser.add_argument("--port-base", type=int, default=0, help="ports after this one are used")
    parser.add_argument(
        "--cases",
        type=int,
        default=100_000,
        help="so many cases under the reads (a million: minutes)",
    )
    parser.add_argument("--only", nargs="*", help=f"parts: {' '.join(PARTS)}")
    parser.add_argument("--minutes", type=float, default=60, help="how long a soak lasts")
    parser.add_argument("--rate", type=float, default=4, help="cases a second of a soak")
    parser.add_argument("--nice", type=int, default=0, help="weight beside other work (root)")
    parser.add_argument("--keep", action="store_true", help="leave data and logs behind")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md alone")
    options = parser.parse_args()
    parts, bench = chosen(options.only), Run(options)
    print(f"Liandiao bench: {bench.report.machine}; {bench.report.mode}", flush=True)
    load = os.getloadavg()[0]
    with machine.Priority(options.nice) if options.nice else contextlib.nullcontext():
        report = bench.measure(parts)
    if load > 1.5:
        report.notes.append(
            f"The machine was not idle: load average {load:.0f} when the run began"
            + (f"; the run had scheduling weight nice {options.nice}." if options.nice else ".")
        )
    if not options.no_write and parts.keys() - BY_NAME - {"start"}:
        report.write_csv(ROOT / "bench" / "results.csv")
        report.write_document(ROOT / "docs" / "performance.md", ROOT / "bench" / "findings.md")
    met = sum(each.verdict == "met" for each in report.results)
    print(f"\n{met} of {len(report.results)} targets met, {report.seconds:.0f} s.")
    for note in report.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    main()
