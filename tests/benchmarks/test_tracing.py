"""What traces cost is told as the CPU of a quote with them, over that without."""

from types import SimpleNamespace
from typing import cast

from benchmarks.harness.report import Servers
from benchmarks.harness.rounds import Run
from benchmarks.harness.stage import Stage
from benchmarks.tracing import _OFF, _ON, _report

STAGE = cast("Stage", SimpleNamespace(servers=Servers("Kafka", "Valkey")))


def run(seconds: float, cpu_s: float) -> Run:
    return Run(1_000_000, seconds, {"worker": cpu_s, "others": 0.0})


def test_traces_that_cost_a_tenth_are_told_as_such() -> None:
    runs = {_ON: [run(2.0, 1.65), run(2.0, 1.54)], _OFF: [run(1.0, 1.5), run(1.0, 1.4)]}
    report = _report("work", runs, STAGE)
    (figures,) = report.figures
    assert figures["cpu_ratio"] == [1.1, 1.1, 1.1]
    assert figures["rate_ratio"] == [0.5, 0.5, 0.5]
    assert "[bold]1.100 times[/] the CPU of a quote without traces" in str(report.printed[1])
