"""What `user-knn` reports: the nearest neighbors, and the time for all users on both sides."""

import io

import msgspec
import pytest
from rich.console import Console

from benchmarks.harness.report import computer
from benchmarks.harness.rounds import Run
from benchmarks.user_knn import BASELINE, measure, report


def test_of_few_users_all_neighbors_are_the_nearest() -> None:
    (found,) = measure(1_000).figures
    assert found["recall"] == 1
    assert found["work"].startswith("neighbors and lists of 1,000 users who have 30 of 50,000")
    assert found["peak_bytes"] > 50_000_000


def test_the_ratio_is_that_of_the_time_for_neighbors_of_all_users() -> None:
    runs = {
        "neighbors": Run(1_000, 2.0, {"ours": 3.0, "others": 0.2}),
        "lists": Run(1_000, 10.0, {"ours": 10.0, "others": 0.0}),
        BASELINE: Run(200, 4.0, {"ours": 8.0, "others": 2.0}),
    }
    result = report("a thousand users", runs, peak=3_000_000_000, recall=0.97)
    said = msgspec.json.decode(result.lines())
    assert (said["value"], said["baseline_value"], said["ratio"]) == (2, 20, 10)
    assert said["cpu_s"] == pytest.approx(13)
    out = io.StringIO()
    result.show(Console(file=out, width=140))
    assert f"neighbors: 10.0 times {said['baseline']}, by a sample of 200" in out.getvalue()
    assert f"{computer()}, no broker, no store; others kept 0.00 to 0.50" in out.getvalue()
