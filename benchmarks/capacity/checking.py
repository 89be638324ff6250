"""What the simulation predicts for this machine, compared with what was measured on it."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import RenderableType

from benchmarks.capacity.costs import Costs
from benchmarks.capacity.measured.runs import INSTRUMENTS, Measured
from benchmarks.capacity.simulated import here
from benchmarks.harness.report import Report, conditions, table
from benchmarks.harness.rounds import Spread

WITHIN: Final = 0.2
_US: Final = 1e6
_MS: Final = 1e3


@dataclass(frozen=True, slots=True)
class Point:
    """One figure."""

    what: str
    unit: str
    simulated: float
    measured: float
    least: float
    greatest: float
    """of the rounds"""

    @property
    def ratio(self) -> float:
        """The prediction as a multiple of the measurement."""
        return self.simulated / self.measured

    @property
    def is_near(self) -> bool:
        """Whether the prediction is within a fifth of the measurement."""
        return abs(self.ratio - 1) <= WITHIN


def compare(costs: Costs, measured: Measured) -> Iterator[Point]:
    """Simulate what was measured; the costs were taken from other runs."""
    yield from _of_feed(costs, measured)
    events, acted = costs.events, measured.acted
    for who, us in (
        ("worker", events.worker_us + events.worker_item_us * acted.items),
        ("Redis", events.store_us + events.store_item_us * acted.items),
    ):
        name = who if who == "worker" else "store"
        found = acted.run.cpu_s[name] / acted.run.records * _US
        what = f"event of a user with {acted.items} items, CPU of {who}"
        yield _point(what, "us", us, [found])
    yield from _of_reads(costs, measured)


def _of_feed(costs: Costs, measured: Measured) -> Iterator[Point]:
    drained = measured.drained
    records = drained[0].run.records
    what = f"one worker, {records:,} quotes of {INSTRUMENTS:,} instruments: saturation"
    simulated = here.drain(costs, records, INSTRUMENTS)
    yield _point(what, "quotes/s", simulated, [one.run.rate for one in drained])
    for trial in measured.followed:
        load = trial.load
        look_every_s = trial.prober["look_every_s"]
        followed = here.follow(costs, load, look_every_s)
        what = f"{load.quotes_per_s:,} quotes/s: freshness over HTTP, p99"
        yield _point(what, "s", followed.latency.p99_s, [trial.latency.p99_s])
        found = trial.cpu_s["worker"] / load.seconds
        what = f"{load.quotes_per_s:,} quotes/s: CPU of the worker"
        yield _point(what, "cores", followed.worker_cores, [found])


def _of_reads(costs: Costs, measured: Measured) -> Iterator[Point]:
    for connections, answered in measured.saturated.items():
        full = here.saturate(costs, connections)
        name = f"bars on {connections} connections"
        yield _point(f"{name}: saturation", "answers/s", full.per_s, [a.rate for a in answered])
        p99_ms = [one.p99_s * _MS for one in answered]
        yield _point(f"{name}: p99", "ms", full.p99_s * _MS, p99_ms)
    for per_s, offers in measured.offered.items():
        offered = here.offer(costs, per_s)
        p99_ms = [one.offered.quantile(0.99) * _MS for one in offers]
        yield _point(f"bars at {per_s:,}/s: p99", "ms", offered.p99_s * _MS, p99_ms)


def _point(what: str, unit: str, simulated: float, measured: Sequence[float]) -> Point:
    middle = statistics.median(measured)
    return Point(what, unit, simulated, middle, min(measured), max(measured))


def report(points: Sequence[Point], measured: Measured) -> Report:
    """Report them, and whether all are near."""
    figures = {
        "name": "capacity: check",
        "unit": "simulated / measured",
        "points": [
            {
                "what": one.what,
                "unit": one.unit,
                "simulated": round(one.simulated, 4),
                "measured": round(one.measured, 4),
                "spread": [round(one.least, 4), round(one.greatest, 4)],
                "ratio": round(one.ratio, 3),
            }
            for one in points
        ],
        "within": WITHIN,
        "met": all(one.is_near for one in points),
        **measured.servers._asdict(),
    }
    rows = [
        (
            f"{one.what}, {one.unit}",
            _shown(one.simulated),
            _shown(one.measured),
            f"{_shown(one.least)} .. {_shown(one.greatest)}",
            f"{one.ratio:.2f}" if one.is_near else f"[red]{one.ratio:.2f}[/]",
        )
        for one in points
    ]
    columns = ("", "simulated", "measured", "least .. greatest", "ratio")
    near = sum(one.is_near for one in points)
    verdict = f"{near} of {len(points)} within {WITHIN:.0%} of what was measured"
    printed: tuple[RenderableType, ...] = (
        table(columns, rows),
        verdict,
        conditions(*measured.servers, busy(measured)),
    )
    return Report([figures], printed)


def busy(measured: Measured) -> Spread:
    """Return how many cores others kept busy during the runs."""
    return Spread.of(
        [
            *(one.run.cpu_s["others"] / one.run.seconds for one in measured.drained),
            *(one.cpu_s["others"] / one.load.seconds for one in measured.followed),
            *(
                one.cpu_s["others"] / one.seconds
                for its in measured.saturated.values()
                for one in its
            ),
        ]
    )


def _shown(value: float) -> str:
    digits = 0 if value >= 100 else 2
    return f"{value:,.{digits}f}"
