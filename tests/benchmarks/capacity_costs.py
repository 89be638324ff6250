"""Costs that are easy to multiply out by hand."""

from benchmarks.capacity.costs import (
    BenchCosts,
    Costs,
    EventCosts,
    FeedCosts,
    KeyCosts,
    ReadCosts,
    Request,
    StoreCosts,
)

ROUND = Costs(
    measured="round numbers",
    feed=FeedCosts(
        record_us=2.0,
        batch_us=0.0,
        value_us=10.0,
        store_value_us=5.0,
        store_call_us=1_000.0,
        broker_us=0.1,
        broker_live_us=1.0,
        log_bytes=40.0,
    ),
    events=EventCosts(
        worker_us=50.0,
        worker_item_us=1.0,
        store_us=20.0,
        store_item_us=2.0,
        broker_us=10.0,
        broker_item_us=0.0,
        log_bytes=100.0,
        log_item_bytes=2.0,
    ),
    reads=ReadCosts(
        turn_us=10.0,
        store=StoreCosts(turn_us=3.0, write_us=5.0),
        wake_us=0.0,
        shape=(1.0,),
        stalls_per_s=0.0,
        stalls_us=(0.0,),
        endpoints={
            "bars": Request(40.0, 5.0),
            "similar": Request(50.0, 5.0, is_pointed=True),
            "recommendations": Request(100.0, 15.0, is_pointed=True),
            "publish": Request(300.0, 0.0),
        },
    ),
    keys=KeyCosts(
        instrument_bytes=1_000.0,
        bar_bytes=100.0,
        user_bytes=100.0,
        item_bytes=20.0,
        pair_bytes=40.0,
        short_pair_bytes=10.0,
    ),
    bench=BenchCosts(0.0, 0.0, 0.0, 0.0),
)
