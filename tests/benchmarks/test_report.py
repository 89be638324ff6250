"""A report is complete, and a process is charged with the CPU time that it causes."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.harness.report import Report, Servers, compared
from benchmarks.harness.rounds import Run, Spread, ratios
from benchmarks.harness.usage import read_clock, spent
from tests.benchmarks.reported import figures
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
