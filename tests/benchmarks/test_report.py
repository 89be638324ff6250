"""A report is complete, and a process is charged with the CPU time that it causes."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness.report import Report, Servers, compared
from benchmarks.harness.rounds import Run, Spread, ratios
from benchmarks.harness.usage import read_clock, spent
from benchmarks.keepup.publisher import Load
from benchmarks.keepup.report import Lag, Latencies, Trial, report
from tests.benchmarks.reported import figures, shown
from tests.patience import eventually

CPU = {"worker": 2.0, "broker": 0.5, "store": 1.0, "others": 0.3}
SERVERS = Servers("Apache Kafka 4", "Valkey 9")
BURNT_S = 1.0


def comparison() -> Report:
    runs = {
        "tickrec": [Run(1_000_000, 2.0, CPU), Run(1_000_000, 2.5, CPU)],
        "plain-faust": [Run(50_000, 5.0, CPU), Run(52_000, 4.0, CPU)],
    }
    return compared("bars", "quotes to bars", "quotes/s", runs, SERVERS)


def test_a_comparison_is_one_line_of_json_with_all_that_the_ratio_rests_on() -> None:
    (said,) = figures(comparison())
    assert (said["name"], said["baseline"]) == ("bars", "plain-faust")
    assert (said["value"], said["baseline_value"]) == (450_000, 11_500)
    assert said["ratio"] == 40.385
    assert said["spread"]["ratio"] == [30.769, 50.0]
    assert said["ratio_per_core_used"] == 19.615
    assert said["spread"]["ratio_per_core_used"] == [19.231, 20.0]
    assert said["rounds"] == 2
    assert said["cpu_s"]["ours"] == CPU
    assert said["machine"].keys() == {"cpu", "cores", "system"}
    assert said["versions"].keys() >= {"python", "faust-streaming", "aiokafka", "redis"}
    assert (said["broker"], said["store"]) == ("Apache Kafka 4", "Valkey 9")


def starting(program: str) -> str:
    return f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}])"


def test_a_process_is_charged_with_what_its_childrens_children_burn() -> None:
    # It ends by itself, should this process be killed.
    burning = "import time\nwhile time.process_time() < 30: pass"
    program = starting(starting(burning))
    with subprocess.Popen([sys.executable, "-c", program], process_group=0) as process:
        try:
            pids = {"this": os.getpid(), "worker": process.pid}
            own_s, before = time.process_time(), read_clock(pids)
            eventually(
                lambda: spent(before, read_clock(pids))["worker"] >= BURNT_S, "it burns enough"
            )
            used = spent(before, read_clock(pids))
            own_s = time.process_time() - own_s
            starter = psutil.Process(process.pid).cpu_times()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert starter.user + starter.system < BURNT_S / 2
    # Its children are charged with what they burn themselves.
    assert used["this"] == pytest.approx(own_s, abs=BURNT_S / 2)


def run(rate: float, seconds: float = 2.0) -> Run:
    return Run(round(rate * seconds), seconds, {"worker": 1.0, "others": 0.5})


def test_a_ratio_is_taken_within_a_round() -> None:
    # The machine was half as fast in the second round, for both of them.
    assert ratios([run(1000), run(500), run(900)], [run(100), run(50), run(100)]) == Spread(
        median=10.0, least=9.0, greatest=10.0
    )


def lag(growth: float = 0.0, at_end: float = 0.5) -> Lag:
    at_s = np.linspace(0, 60, 601)
    return Lag.of(at_s, at_end + growth * (at_s - 60))


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=300))
def test_a_percentile_is_a_latency_that_so_many_do_not_exceed(ms: list[int]) -> None:
    values = [one / 1000 for one in ms]
    found = Latencies.of(values)
    for percent, value in ((50, found.p50_s), (99, found.p99_s), (100, found.max_s)):
        assert value in values
        assert sum(one <= value for one in values) >= len(values) * percent / 100
        assert sum(one < value for one in values) < len(values) * percent / 100


def test_a_lag_is_low_that_ends_low_and_is_level() -> None:
    assert lag().is_low
    assert not lag(at_end=2.5).is_low
    assert not lag(growth=0.03, at_end=1.8).is_low


def test_a_verdict_hides_nothing() -> None:
    latency_s = (1.0, 2.0, 12.0)
    trial = Trial(
        Load(20, quotes_per_s=50_000),
        Latencies.of(latency_s),
        Lag(start_s=0.6, middle_s=0.7, end_s=0.6, max_s=1.3, growth=0.4),
        {"worker": 3.0, "api": 1.0, "publisher": 1.0, "broker": 2.0, "store": 1.0, "others": 0.5},
        {"records": 1_010_000, "most_late_s": 3.0, "late_at_end_s": 3.0},
        {"looks": 800, "look_every_s": 0.02, "refused": 0, "unreadable": 1},
    )
    text = shown(report([trial], Servers("Apache Kafka 4", "Valkey 9")))
    assert "p99 12.00 s, above 1.5 s; the lag grows" in text
    assert "1 quotes were never readable" in text
    assert "the publisher was too slow for this rate" in text
