"""The cluster check's measurements, without a cluster."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tenacity

from infra.cluster_check.autoscaler import autoscaler_of
from infra.cluster_check.freshness import Freshness
from infra.cluster_check.linting import Finding, judged
from infra.cluster_check.log import lags
from infra.cluster_check.quota import Quota, cpu_s
from infra.cluster_check.surge import Sample
from infra.cluster_check.verdict import claims, fresh_again_s
from infra.cluster_check.workers import environment_of
from tests.patience import PATIENCE_S

P = ("quotes", 0)


def sample(at_s: float, *, wanted: int, fresh_s: float | None = 1.0) -> Sample:
    return Sample(at_s, 100.0, {"quotes": 5}, wanted, wanted, fresh_s, 1.0, 0.0)


def test_a_record_is_as_old_as_the_poll_that_first_saw_it() -> None:
    freshness = Freshness()
    freshness.note_ends(0.0, {P: 0})
    freshness.note_positions(0.0, {P: 0})
    freshness.note_ends(1.0, {P: 10})
    freshness.note_ends(2.0, {P: 20})

    assert freshness.waiting_s(2.5) == 1.5
    freshness.note_positions(3.0, {P: 15})
    assert freshness.quantile(0.99, 0.0) == 2.0
    assert freshness.waiting_s(3.0) == 1.0
    freshness.note_positions(3.5, {P: 20})
    assert freshness.waiting_s(3.5) == 0.0


def test_a_quantile_counts_records_not_polls() -> None:
    freshness = Freshness()
    freshness.note_positions(0.0, {P: 0})
    freshness.note_ends(1.0, {P: 1})
    freshness.note_positions(9.0, {P: 1})
    freshness.note_ends(10.0, {P: 1000})
    freshness.note_positions(11.0, {P: 1000})

    assert freshness.quantile(0.99, 0.0) == 1.0
    assert freshness.quantile(1.0, 0.0) == 8.0
    assert freshness.quantile(0.99, 12.0) is None


def test_lag_is_summed_over_partitions_and_never_negative() -> None:
    ends = {("quotes", 0): 10, ("quotes", 1): 5, ("interactions", 0): 3}

    assert lags(ends, {("quotes", 0): 4, ("quotes", 1): 9}) == {"quotes": 6, "interactions": 3}


def test_an_autoscaler_has_a_metric_for_each_topic() -> None:
    trigger = {
        "type": "kafka",
        "metadata": {"topic": "quotes", "consumerGroup": "live", "lagThreshold": "7"},
    }
    made = autoscaler_of(
        {
            "metadata": {"name": "worker", "namespace": "here"},
            "spec": {
                "scaleTargetRef": {"kind": "StatefulSet", "name": "worker"},
                "minReplicaCount": 2,
                "maxReplicaCount": 8,
                "triggers": [trigger],
            },
        }
    )

    (metric,) = made["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == "s0-kafka-quotes"
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "7"}


def test_a_check_that_kube_score_skips_is_neither_passed_nor_a_finding() -> None:
    def check(grade: int, *summaries: str, skipped: bool = False) -> tuple[str, dict[str, Any]]:
        comments = [{"path": "api", "summary": summary} for summary in summaries]
        return "api", {"grade": grade, "skipped": skipped, "comments": comments or None}

    checks = [
        check(10),
        check(0, skipped=True),
        check(1, "no CPU limit", "no probe"),
        check(5, "x"),
    ]

    assert judged(checks) == (
        1,
        {Finding("api", "no CPU limit"), Finding("api", "no probe"), Finding("api", "x")},
    )


def test_a_worker_gets_its_pods_name_and_none_of_its_addresses() -> None:
    container = {
        "env": [
            {
                "name": "GROUP_INSTANCE_ID",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
            },
            {"name": "SESSION_TIMEOUT_S", "value": "15"},
            {"name": "KAFKA_SASL_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "kafka"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "tickrec"}}],
    }

    assert environment_of(container, {"metadata": {"name": "worker-3"}}) == {
        "GROUP_INSTANCE_ID": "worker-3",
        "SESSION_TIMEOUT_S": "15",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for a process's clock")
def test_a_process_that_used_its_share_is_stopped_and_continues_afterwards() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with Quota(0.001) as quota:
            quota.limit(busy.pid)
            awaited(lambda: state_of(busy.pid) == "T")
        spent_s = cpu_s(busy.pid)
        awaited(lambda: cpu_s(busy.pid) > spent_s + 0.05)
    finally:
        busy.kill()
        busy.wait()


def awaited(holds: Callable[[], bool]) -> None:
    tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda held: not held),
        stop=tenacity.stop_after_delay(PATIENCE_S),
        wait=tenacity.wait_fixed(0.002),
    )(holds)


def state_of(pid: int) -> str:
    """Return the letter by which Linux says what a process does: T if it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_fresh_again_is_the_first_time_after_it_was_not() -> None:
    ages = [1.0, 5.0, 3.0, 1.5, 2.5]
    samples = [sample(10.0 * n, wanted=2, fresh_s=age) for n, age in enumerate(ages, start=1)]

    assert fresh_again_s(samples) == 40.0
    assert fresh_again_s(samples[:3]) is None
    assert fresh_again_s(samples[:1]) == 0.0
    assert fresh_again_s([sample(10.0, wanted=2, fresh_s=None)]) is None


def test_a_surge_is_well_if_readers_and_workers_are() -> None:
    before = [sample(-5.0, wanted=2), sample(5.0, wanted=4), sample(10.0, wanted=4)]
    slowly = [sample(20.0, wanted=4), sample(40.0, wanted=3), sample(60.0, wanted=2)]
    at_once = [sample(20.0, wanted=4), sample(40.0, wanted=2)]

    assert [claim.holds for claim in claims([*before, *slowly], 15)] == [True, True, True]
    assert [claim.holds for claim in claims([*before, *at_once], 15)] == [True, True, False]
    stale = replace(before[-1], settled_s=2.1)
    assert [claim.holds for claim in claims([*before, stale, *slowly], 15)] == [True, False, True]
