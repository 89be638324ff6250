"""Lags and latencies are what they say, and quotes are published and looked for at the rate."""

import math
import time
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.keepup import Highest, Load, Readings, lag_of, search
from benchmarks.latency import Lag, Latencies, outstanding, percentile, sliced, slope
from benchmarks.prober import Probed, Waiting
from benchmarks.traffic import Flow, Published, Traffic, flows, template
from contracts.messages import Interaction, Quote, decode_interactions, decode_quotes

TASK = Traffic("", 1.0, instruments=50, apart=frozenset({7, 9}), quotes_per_s=48,
               users=20, events_per_s=10)  # fmt: skip


def lag(growth: float = 0.0, at_end: float = 0.5) -> Lag:
    at_s = np.linspace(0, 60, 601)
    return Lag.of(at_s, at_end + growth * (at_s - 60))


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float]) -> None:
    ranked = sorted(values)
    for percent in (1, 50, 99, 100):
        found = percentile(ranked, percent)
        assert found in ranked
        assert sum(value <= found for value in ranked) >= len(ranked) * percent / 100
        assert sum(value < found for value in ranked) < len(ranked) * percent / 100


def test_the_99th_of_100_latencies_is_the_one_before_the_greatest() -> None:
    found = Latencies.of([float(n) for n in range(100, 0, -1)])
    assert found == Latencies(count=100, p50_s=50.0, p99_s=99.0, max_s=100.0)


def test_no_latencies_have_no_percentiles() -> None:
    assert math.isnan(Latencies.of([]).p99_s)


def test_a_slice_holds_the_quotes_that_were_published_in_it() -> None:
    # In the order in which they became readable.
    first, second = sliced([0.0, 10.0, 9.9], [1.0, 2.0, 3.0], slice_s=10)
    assert (first.count, first.max_s) == (2, 3.0)
    assert (second.count, second.max_s) == (1, 2.0)


@given(st.floats(-5, 5), st.floats(-100, 100))
def test_the_slope_of_a_straight_line_is_its_own(rise: float, start: float) -> None:
    x = np.array([0.0, 1.0, 2.5, 7.0])
    assert slope(x, start + rise * x) == pytest.approx(rise, abs=1e-9)


def test_a_worker_keeps_up_whose_lag_is_low_and_level() -> None:
    assert lag().keeps_up
    assert not lag(at_end=2.5).keeps_up
    assert not lag(growth=0.03, at_end=1.8).keeps_up


def test_a_lag_that_goes_up_and_down_with_each_write_does_not_grow() -> None:
    at_s = np.arange(0, 15, 0.1)
    assert Lag.of(at_s, (at_s + 0.3) % 1.0).keeps_up


def test_a_lag_is_told_at_the_start_in_the_middle_and_at_the_end() -> None:
    at_s = np.linspace(100, 160, 61)
    found = Lag.of(at_s, (at_s - 100) / 10)
    assert (found.start_s, found.middle_s, found.end_s) == pytest.approx((0.5, 3.0, 5.5), abs=0.1)
    assert (found.max_s, found.growth) == pytest.approx((6.0, 0.1))


def test_what_is_outstanding_was_published_and_is_not_folded() -> None:
    behind = outstanding(
        at=np.array([0.0, 0.5, 1.0, 2.0]),
        published_at=np.array([0.0, 1.0]),
        published=np.array([0.0, 100.0]),
        folded=np.array([0.0, 20.0, 101.0, 100.0]),
    )
    # Folded before it was counted as published: nothing is outstanding.
    assert behind.tolist() == [0.0, 30.0, 0.0, 0.0]


def test_the_lag_counts_the_quotes_of_both_publishers() -> None:
    seconds = [float(second) for second in range(11)]
    published = Published(
        began_ms=1_000_000, at_s=seconds, quotes=[80 * n for n in range(11)], records=900, failed=0,
        most_late_s=0.0, late_at_end_s=0.0,
    )  # fmt: skip
    its = [number / 20 for number in range(200)]
    probed = Probed(its, [1.0] * 200, unreadable=0, looks=9, refused=0, look_every_s=0.1)
    at_s = np.arange(1, 11)
    readings = Readings(1_000_000 + 1000.0 * at_s, 100.0 * at_s - 50)
    found = lag_of(readings, published, probed, Load(10, 1, quotes_per_s=100))
    assert found.middle_s == pytest.approx(0.5)
    assert found.growth == pytest.approx(0, abs=1e-9)


@given(st.integers(1_000, 3_000_000))
def test_the_search_ends_with_the_limit_within_a_tenth(limit: int) -> None:
    tried: list[int] = []

    def keeps_up(rate: int) -> bool:
        tried.append(rate)
        return rate <= limit

    low, high = search(keeps_up, first=50_000)
    assert low <= limit < high
    assert high - low <= high / 10
    assert len(tried) < 20


def test_a_limit_below_the_first_rate_is_found_as_well() -> None:
    assert search(lambda rate: rate <= 30_000, first=50_000) == Highest(28_125, 31_250)


def test_a_template_lacks_nothing_but_the_time_of_publishing() -> None:
    now_ms = time.time_ns() // 1_000_000
    quote = Quote(instrument_id=4, price=30.72, size=100, ts=0)
    key, head = template(quote)
    columns, rejections = decode_quotes([head + b"%d}" % now_ms], now_ms)
    assert not rejections
    assert (key, columns.instrument_id.tolist(), columns.ts_ms.tolist()) == (b"4", [4], [now_ms])
    key, head = template(Interaction(user_id="ABC", instrument_id=4, ts=0))
    events, rejections = decode_interactions([head + b"%d}" % now_ms], now_ms)
    assert not rejections
    assert (key, events.user_id, events.ts_ms.tolist()) == (b"ABC", ["ABC"], [now_ms])


def test_each_instrument_quotes_as_often_as_the_others_but_for_those_apart() -> None:
    quotes, events = flows(TASK)
    keys = Counter(int(key) for key, _ in quotes.take(2 * 48))
    assert keys == dict.fromkeys(set(range(50)) - {7, 9}, 2)
    heads = {head for _, head in events.take(100)}
    users = {msgspec.json.decode(head + b"0}", type=Interaction).user_id for head in heads}
    assert users <= {f"user-{number}" for number in range(20)}


def test_a_flow_is_due_at_its_rate_whenever_it_is_asked() -> None:
    flow = Flow("quotes", [(b"4", b"")], per_s=100)
    assert flow.due(0.0) == 0
    assert flow.due(0.255) == 25
    list(flow.take(20))
    assert flow.due(0.255) == 5
    # The 21st was due at 0.21 s.
    assert flow.late_s(0.255) == pytest.approx(0.045)
    list(flow.take(5))
    assert flow.late_s(0.255) < 0


def test_the_quotes_that_are_waited_for_are_looked_for_in_turn() -> None:
    waiting = Waiting([4, 5, 6])
    assert waiting.next() is None
    sent = [waiting.send(at_s)[0] for at_s in (0.0, 0.1, 0.2, 0.3)]
    assert sent[:3] == [5, 6, 4]
    assert sent[3] == 5
    assert {waiting.next() for _ in range(3)} == {4, 5, 6}


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
