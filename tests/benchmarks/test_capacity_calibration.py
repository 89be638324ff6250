"""Costs that made runs come back from them."""

from collections.abc import Mapping

import msgspec
import numpy as np
import pytest

from benchmarks.capacity.checking import Point
from benchmarks.capacity.costs import DEFAULT, Costs, StoreCosts
from benchmarks.capacity.measured.asking import Offer
from benchmarks.capacity.measured.calibration import (
    Runs,
    calibrated,
    event_costs,
    feed_costs,
    read_costs,
    split,
)
from benchmarks.capacity.measured.folding import Acted, Drained
from benchmarks.capacity.measured.offered import Offered
from benchmarks.capacity.measured.storing import solved
from benchmarks.capacity.simulated import here
from benchmarks.capacity.simulated.streams import distinct
from benchmarks.harness.latencies import Latencies
from benchmarks.harness.rounds import Run
from benchmarks.keepup.publisher import Load
from benchmarks.keepup.report import Lag, Trial
from benchmarks.reads.answered import Answered

RECORD_US, BATCH_US, VALUE_US, STORE_VALUE_US = 1.25, 400.0, 3.5, 2.0
LOG_BYTES = 32.0
IDLE = {"broker": 0.0, "store": 0.0, "others": 0.0}


def drained(instruments: int, values: int, quotes: int = 1_000_000) -> Drained:
    batches = 8 + quotes * LOG_BYTES / 2**20
    touched = values + instruments
    worker_us = quotes * RECORD_US + batches * BATCH_US + touched * VALUE_US
    cpu_s = {**IDLE, "worker": worker_us / 1e6, "store": touched * STORE_VALUE_US / 1e6}
    return Drained(instruments, Run(quotes, 2.0, cpu_s), values, calls=100, log_bytes=LOG_BYTES)


def followed(events_us: float) -> Trial:
    load = Load(20.0, workers=1, quotes_per_s=25_000, events_per_s=500)
    bars = distinct(25_000, 50_000) * 20 + 50_000
    worker_us = 500_000 * RECORD_US + 20 * 8 * 20 * BATCH_US + bars * VALUE_US
    worker_us += 500 * 20 * events_us
    cpu_s = {**IDLE, "worker": worker_us / 1e6, "publisher": 1.0, "prober": 1.0, "api": 3.0}
    lag = Lag(0.5, 0.5, 0.5, 0.5, 0.0)
    latency = Latencies(1, 0.5, 1.0, 1.0)
    return Trial(load, latency, [latency], lag, {**cpu_s, "broker": 2.5}, {}, {})


def acted(items: int, per_item_us: float) -> Acted:
    worker_s = 5_000 * (30 + per_item_us * items) / 1e6
    cpu_s = {**IDLE, "worker": worker_s, "store": worker_s / 2}
    return Acted(items, Run(5_000, 5.0, cpu_s), log_bytes=100 + 3 * items, pair_bytes=10)


def answered(server_us: float, store_us: float, records: int = 100_000) -> Answered:
    cpu_s = {"server": server_us / 10, "store": store_us / 10, "load": 1.0, "others": 0.0}
    return Answered(records, 4.0, cpu_s, 0.002, 0.003, 0.01, 0, 0, 0)


def alone(latency_us: float, cpu_us: Mapping[str, float], stalls: int = 0) -> Offer:
    latency_s = np.full(10_000, latency_us / 1e6)
    if stalls:
        latency_s[:: len(latency_s) // stalls] = 5e-3
    return Offer(Offered(4.0, latency_s, 0, own_cpu_s=0.2), {"others": 0.0, **cpu_us})


SATURATED = {name: answered(30, 6) for name in ("bars", "similar", "recommendations")}
STORE = StoreCosts(turn_us=6.0, write_us=6.0)
ALONE = alone(150, {"server": 70.0, "store": 18.0})


def test_costs_of_quotes_batches_and_bars_explain_runs_that_they_made() -> None:
    events = event_costs([acted(10, 2.0), acted(200, 2.0)])
    runs = [drained(10_000, 30_000), drained(100_000, 400_000)]
    found = feed_costs(runs, followed(events.worker_us + events.worker_item_us), events)
    assert found.record_us == pytest.approx(RECORD_US, rel=1e-3)
    assert found.batch_us == pytest.approx(BATCH_US, rel=1e-3)
    assert found.value_us == pytest.approx(VALUE_US, rel=1e-3)
    assert found.store_value_us == pytest.approx(STORE_VALUE_US)
    assert found.store_call_us == pytest.approx(500_000 * STORE_VALUE_US / 100)
    assert found.broker_live_us == pytest.approx(5.0)


def test_an_event_costs_a_straight_line_in_the_items_of_its_user() -> None:
    found = event_costs([acted(10, 2.0), acted(200, 2.0)])
    assert found.worker_us == pytest.approx(30)
    assert found.worker_item_us == pytest.approx(2)
    assert found.store_us == pytest.approx(15)
    assert found.log_item_bytes == pytest.approx(3)


def test_what_a_request_costs_more_alone_is_that_of_its_turns() -> None:
    found = read_costs(ALONE, SATURATED, ALONE, STORE)
    assert found.endpoints["bars"].api_us == pytest.approx(30)
    assert found.turn_us == pytest.approx(20)
    assert found.store == STORE
    # 70 + 18 us of work and 20 of asking leave 42 of 150: four hops.
    assert found.wake_us == pytest.approx(42 / 4)
    assert [name for name, one in found.endpoints.items() if one.is_pointed] == [
        "similar",
        "recommendations",
    ]


def test_a_stalled_process_is_distinguished_from_one_that_worked() -> None:
    body_s, stalls_s = split(alone(150, {}, stalls=20).offered.latency_s)
    assert (len(body_s), len(stalls_s)) == (9_980, 20)
    found = read_costs(alone(150, ALONE.cpu_us, stalls=20), SATURATED, ALONE, STORE)
    assert found.stalls_per_s == pytest.approx(5)
    assert found.stalls_us == pytest.approx((4_850.0,) * 20)


def test_the_simulation_of_a_request_alone_takes_what_was_measured() -> None:
    reads = read_costs(ALONE, SATURATED, ALONE, STORE)
    bench = msgspec.structs.replace(DEFAULT.bench, offering_us=20.0)
    costs = msgspec.structs.replace(DEFAULT, reads=reads, bench=bench)
    found = here.offer(costs, per_s=20, seconds=2)
    assert found.p50_s == pytest.approx(150e-6, rel=0.1)


def test_costs_of_measured_runs_are_printed_and_read_again() -> None:
    runs = Runs(
        [drained(10_000, 30_000), drained(100_000, 400_000)],
        followed(30.0),
        [acted(10, 2.0), acted(200, 2.0)],
        ALONE,
        SATURATED,
        ALONE,
        STORE,
        DEFAULT.keys,
    )
    found = calibrated(runs, "a test")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Costs) == found


@pytest.mark.parametrize(("simulated", "is_near"), [(120, True), (80, True), (121, False)])
def test_a_figure_is_near_within_a_fifth_of_what_was_measured(
    simulated: float, *, is_near: bool
) -> None:
    assert Point("", "", simulated, 100, 90, 110).is_near is is_near


def test_a_turn_and_a_write_of_redis_are_distinguished() -> None:
    # 5 us a turn, 3 a write, 1 a command: alone, 32 in one write, 32 in as many.
    found = solved(alone_us=9, one_write_us=40, many_writes_us=133)
    assert (found.turn_us, found.write_us) == pytest.approx((5, 3))
