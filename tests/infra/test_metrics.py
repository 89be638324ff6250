"""The status line adds up the workers' metrics."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from infra.local.metrics import Rates, Reading, Samples, parse, rates, read


def worker(*, quotes: float, lag: float, freshness_s: float | None) -> Samples:
    """What a worker's /metrics says."""
    registry = CollectorRegistry()
    records = Counter("records", "", ["topic"], registry=registry)
    records.labels("quotes").inc(quotes)
    records.labels("interactions").inc(1)
    Counter("records_rejected", "", ["topic"], registry=registry).labels("quotes").inc(2)
    lags = Gauge("lag_records", "", ["topic"], registry=registry)
    lags.labels("quotes").set(lag)
    lags.labels("interactions").set(1)
    if freshness_s is not None:
        Gauge("freshness_seconds", "", ["topic"], registry=registry).labels("quotes").set(
            freshness_s
        )
    return parse(generate_latest(registry).decode())


def test_records_add_up_and_the_worker_that_is_furthest_behind_sets_the_freshness() -> None:
    workers = [
        worker(quotes=10, lag=3, freshness_s=0.5),
        worker(quotes=20, lag=4, freshness_s=2.5),
        worker(quotes=0, lag=0, freshness_s=None),
    ]
    assert read(workers, at_s=7) == Reading(
        at_s=7, quotes=30, interactions=3, rejected=6, lag_records=10, freshness_s=2.5
    )


def test_without_an_answer_nothing_is_claimed() -> None:
    reading = read([], at_s=7)
    assert (reading.quotes, reading.lag_records) == (0, 0)
    assert math.isnan(reading.freshness_s)


def test_a_worker_that_was_restarted_does_not_make_a_rate_negative() -> None:
    before = read([worker(quotes=100, lag=0, freshness_s=1)], at_s=0)
    after = read([worker(quotes=5, lag=0, freshness_s=1)], at_s=1)
    assert rates(before, after) == Rates(quotes_per_s=0, interactions_per_s=0)
