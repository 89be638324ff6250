"""What `train` came to: a line of JSON for each peer, or tables of contenders and of our stages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.harness.report import ends, line, rounded, show_conditions
from benchmarks.harness.rounds import Run, Spread, busy_neighbors, ratios

OURS: Final = "tickrec"
SCIKIT_LEARN: Final = "scikit-learn"
BAR: Final = 5.0
"""How many times faster than scikit-learn ours is to be."""
MOST_BYTES: Final = 2 << 30
_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Trained(Run):
    """A contender's neighbors of all items: `seconds` is the model's, `records` are pairs."""

    peak_bytes: int
    entries: int
    """neighbors in all lists"""
    score: float
    """sum of their scores"""
    version: str
    whole_s: float = 0
    """of ours: from the start of the process to its end"""
    stages: Mapping[str, float] = field(default_factory=dict)
    """of ours: stage -> seconds"""


@dataclass(frozen=True, slots=True)
class Training:
    """Rounds of ours and of the peers on the same data."""

    work: str
    runs: Mapping[str, list[Trained]]
    store: str

    def lines(self) -> str:
        """Return a line of JSON for each peer."""
        return "".join(self._line(peer) for peer in self._peers())

    def ratio(self, peer: str) -> Spread:
        """Return how many times faster than a peer ours was, in the same round."""
        return ratios(self.runs[OURS], self.runs[peer])

    def seconds(self, name: str) -> Spread:
        """Return the time of a contender's model."""
        return Spread.of([run.seconds for run in self.runs[name]])

    def peak_bytes(self, name: str) -> int:
        """Return the most memory that a contender had in any round."""
        return max(run.peak_bytes for run in self.runs[name])

    def stages(self) -> dict[str, Spread]:
        """Return the seconds of each stage of ours, and of the whole run."""
        ours = self.runs[OURS]
        each = {stage: Spread.of([run.stages[stage] for run in ours]) for stage in ours[0].stages}
        return {**each, "whole run": Spread.of([run.whole_s for run in ours])}

    def reached(self) -> bool:
        """Tell whether ours is as fast and as small as it is to be."""
        return (
            self.ratio(SCIKIT_LEARN).median >= BAR
            and all(self.ratio(peer).median >= 1 for peer in self._peers())
            and self.peak_bytes(OURS) <= MOST_BYTES
        )

    def neighbors(self) -> Spread:
        """Return how many cores others kept busy."""
        return busy_neighbors([run for runs in self.runs.values() for run in runs])

    def show(self, console: Console) -> None:
        """Print the contenders, the stages of ours, the ratios, and what it was measured on."""
        console.print(self._contenders())
        console.print(self._stages())
        for peer in self._peers():
            ratio = self.ratio(peer)
            console.print(
                f"[bold]{ratio.median:.2f} times[/] {peer} {self.runs[peer][0].version} "
                f"({ratio.least:.2f} .. {ratio.greatest:.2f} in {len(self.runs[peer])} rounds)"
            )
        style, said = ("green", "reached") if self.reached() else ("red", "not reached")
        console.print(
            f"[{style}]{said}[/]: {BAR:g} times {SCIKIT_LEARN}, not behind the others, at most "
            f"{MOST_BYTES / _MB:,.0f} MB"
        )
        show_conditions(console, "no broker", self.store, self.neighbors())

    def _peers(self) -> list[str]:
        return [name for name in self.runs if name != OURS]

    def _line(self, peer: str) -> str:
        ratio, ours, theirs = self.ratio(peer), self.seconds(OURS), self.seconds(peer)
        return line(
            name="train",
            work=self.work,
            value=round(ours.median, 3),
            unit="s, counts in memory to ranked lists in memory",
            baseline=f"{peer} {self.runs[peer][0].version}",
            baseline_value=round(theirs.median, 3),
            ratio=round(ratio.median, 2),
            spread={
                "value": ends(ours, 3),
                "baseline_value": ends(theirs, 3),
                "ratio": ends(ratio, 2),
            },
            rounds=len(self.runs[peer]),
            peak_mb={
                "ours": round(self.peak_bytes(OURS) / _MB),
                "baseline": round(self.peak_bytes(peer) / _MB),
            },
            stages_s=rounded({stage: s.median for stage, s in self.stages().items()}),
            busy_other_cores=ends(self.neighbors(), 2),
            reached=self.reached(),
            store=self.store,
        )

    def _contenders(self) -> Table:
        table = Table(title=self.work, box=None, header_style="bold", title_justify="left")
        table.add_column("")
        for column in ("model, s", "least .. greatest", "peak MB"):
            table.add_column(column, justify="right")
        for name in self.runs:
            took = self.seconds(name)
            table.add_row(
                name,
                f"{took.median:.2f}",
                f"{took.least:.2f} .. {took.greatest:.2f}",
                f"{self.peak_bytes(name) / _MB:,.0f}",
            )
        return table

    def _stages(self) -> Table:
        table = Table(
            title="from Redis to published", box=None, header_style="bold", title_justify="left"
        )
        table.add_column("")
        for column in ("s", "least .. greatest"):
            table.add_column(column, justify="right")
        for stage, took in self.stages().items():
            spread = f"{took.least:.2f} .. {took.greatest:.2f}"
            table.add_row(stage, f"{took.median:.2f}", spread)
        return table
