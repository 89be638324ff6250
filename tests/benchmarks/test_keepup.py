"""Latencies and lags are what they say, and the limit is found."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness.report import Servers
from benchmarks.keepup.prober import Waiting
from benchmarks.keepup.publisher import Load, Published
from benchmarks.keepup.report import Lag, Latencies, Trial, report
from tests.benchmarks.reported import shown


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


def published(counts: list[tuple[float, int]]) -> Published:
    return Published(1_000_000, counts, 900, failed=0, most_late_s=0.0, late_at_end_s=0.0)


def test_a_later_price_shows_that_the_earlier_quotes_were_readable_too() -> None:
    waiting = Waiting([4])
    for at_s in (0.0, 1.0, 2.0):
        waiting.send(at_s)
    waiting.seen(4, 0, now_s=2.1)
    assert waiting.latency_s == []
    waiting.seen(4, 2, now_s=2.5)
    assert waiting.latency_s == [2.5, 1.5]
    assert waiting.next() == 4
    assert waiting.give_up(now_s=5.0) == 1
    assert (waiting.at_s, waiting.latency_s) == ([0.0, 1.0, 2.0], [2.5, 1.5, 3.0])


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
