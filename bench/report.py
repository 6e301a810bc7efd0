"""Results: one line per measurement with target and verdict, as a table, as CSV, as a document."""

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

FIELDS = ("measure", "value", "low", "high", "unit", "target", "sense", "verdict", "how")


@dataclass(frozen=True)
class Result:
    """One figure; ``sense`` tells whether more or less is better.

    ``interval``: where the median of interleaved pairs lies with 95 % confidence (bootstrap).
    """

    measure: str
    value: float | None
    unit: str
    target: float | None = None
    sense: str = "at least"
    how: str = ""
    interval: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """Met, or missed by how much."""
        if self.value is None:
            return "not measured"
        if self.target is None:
            return ""
        if self.sense == "at least":
            if self.value >= self.target:
                return "met"
            share = 100 * (1 - self.value / self.target)
            return f"missed by {share:.0f} % ({shown(self.target - self.value)} too little)"
        if self.value <= self.target:
            return "met"
        share = 100 * (self.value / self.target - 1)
        return f"missed by {share:.0f} % ({shown(self.value - self.target)} too much)"

    def row(self) -> dict[str, str]:
        """As a line of the CSV."""
        return {
            "measure": self.measure,
            "value": "" if self.value is None else f"{self.value:.5g}",
            "low": "" if self.interval is None else f"{self.interval[0]:.5g}",
            "high": "" if self.interval is None else f"{self.interval[1]:.5g}",
            "unit": self.unit,
            "target": "" if self.target is None else f"{self.target:g}",
            "sense": self.sense if self.target is not None else "",
            "verdict": self.verdict,
            "how": self.how,
        }


def shown(value: float) -> str:
    """A figure as people read it."""
    if value != 0 and abs(value) < 1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


@dataclass
class Report:
    """What one run found, and where the time went."""

    machine: str
    mode: str
    steal_percent: float = 0.0
    seconds: float = 0.0
    results: list[Result] = field(default_factory=list)
    floor: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *results: Result) -> None:
        """Take results with a target, and say them at once."""
        self.results += results
        for each in results:
            print(f"  {each.measure}: {_value(each)} {each.unit}  {each.verdict}", flush=True)

    def add_floor(self, *results: Result) -> None:
        """Take figures of the machine itself."""
        self.floor += results
        for each in results:
            print(f"  {each.measure}: {_value(each)} {each.unit}", flush=True)

    def write_csv(self, path: Path) -> None:
        """Every figure of the run."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(each.row() for each in (*self.results, *self.floor))

    def write_document(self, path: Path, findings: Path) -> None:
        """The document, generated; what a person found in the profile is taken from a file."""
        with path.open("w", encoding="utf-8") as file:
            self._document(file, findings)

    def _document(self, file: TextIO, findings: Path) -> None:
        met = sum(r.verdict == "met" for r in self.results)
        print("# Performance\n", file=file)
        print(
            "Written by `make bench` (`python -m bench`); do not edit by hand. Single absolute "
            "figures belong to one machine and one hour: compare the ratios, which are taken "
            "interleaved (ABBA) in one run: the median of the pairs, and in brackets its 95 % "
            "interval (bootstrap over the pairs). The figures are also in `bench/results.csv`. "
            "Not part of a run, by name only: `python -m bench --only soak --minutes 60`.\n",
            file=file,
        )
        print(
            f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {self.machine}, {self.mode}; "
            f"CPU steal {self.steal_percent:.1f} %; the run took {self.seconds:.0f} s. "
            f"{met} of {len(self.results)} targets met.\n",
            file=file,
        )
        print("## Results\n", file=file)
        print("| measure | value | target | verdict | how |\n|---|---|---|---|---|", file=file)
        for each in self.results:
            target = "" if each.target is None else f"{each.sense} {each.target:g} {each.unit}"
            print(
                f"| {each.measure} | {_value(each)} {each.unit} | {target.strip()} | "
                f"{each.verdict} | {each.how} |",
                file=file,
            )
        print("\n## The machine's floor\n", file=file)
        print("| what | value | how |\n|---|---|---|", file=file)
        for each in self.floor:
            print(f"| {each.measure} | {_value(each)} {each.unit} | {each.how} |", file=file)
        if self.notes:
            print("\n## Notes of this run\n", file=file)
            for note in self.notes:
                print(f"- {note}", file=file)
        if findings.exists():
            print(f"\n{findings.read_text(encoding='utf-8').strip()}", file=file)


def _value(result: Result) -> str:
    if result.value is None:
        return "-"
    if result.interval is None:
        return shown(result.value)
    low, high = result.interval
    return f"{shown(result.value)} ({shown(low)}–{shown(high)})"
