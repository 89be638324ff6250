"""Unit costs: what a quote, an event, a value, a request and a key take; measured defaults."""

from pathlib import Path
from typing import Final

import msgspec


class FeedCosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of quotes, from the broker to bars in Redis; CPU in microseconds."""

    record_us: float
    """of the worker, a quote that is fetched, decoded and folded"""
    batch_us: float
    """of the worker, what a fetch brings of one partition, besides its quotes"""
    value_us: float
    """of the worker, a bar that is read or written"""
    store_value_us: float
    """of Redis, the same"""
    store_call_us: float
    """that Redis is busy with one call of a script, on average"""
    broker_us: float
    """of the broker, a quote that is fetched"""
    broker_live_us: float
    """of the broker, a quote of a live feed that is published and fetched"""
    log_bytes: float
    """a quote takes in the log, compressed by its producer"""


class EventCosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of an event, through histories and counts; CPU in microseconds, a straight line in items."""

    worker_us: float
    worker_item_us: float
    """for each item that its user has"""
    store_us: float
    store_item_us: float
    broker_us: float
    broker_item_us: float
    log_bytes: float
    """of the event and of the changes that it makes, at no items"""
    log_item_bytes: float


class StoreCosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of Redis, besides what commands cost; CPU in microseconds."""

    turn_us: float
    """a turn of its loop"""
    write_us: float
    """commands that come in one write, and are answered in one"""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One endpoint; CPU in microseconds."""

    api_us: float
    """of the API process, when as many are answered at once as come"""
    store_us: float
    """of Redis"""
    is_pointed: bool = False
    """goes by `model:current`, too: asked for once in some milliseconds, and always of one shard"""


class ReadCosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of requests; each turn of a process costs something whatever the number of requests in it."""

    turn_us: float
    """of the API process, a turn of its loop"""
    store: StoreCosts
    wake_us: float
    """until a process that has nothing to do notices what comes"""
    shape: tuple[float, ...]
    """service times that are equally likely, as multiples of their mean"""
    stalls_per_s: float
    """how often a process stands still, by the machine or by Python"""
    stalls_us: tuple[float, ...]
    """how long, equally likely"""
    endpoints: dict[str, Request]


class KeyCosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes of Redis."""

    instrument_bytes: float
    """without bars: its key, and its list of neighbors"""
    bar_bytes: float
    user_bytes: float
    """without items"""
    item_bytes: float
    """of a user's history"""
    pair_bytes: float
    """an entry of the counts of pairs, of two that a pair has; in rows as long as a hash table"""
    short_pair_bytes: float
    """the same in rows so short that Redis packs them"""


class BenchCosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the tools of load, where they share the machine with what they measure."""

    asking_us: float
    """of wrk, a request"""
    offering_us: float
    """of `benchmarks.capacity.measured.offered`, a request"""
    publishing_us: float
    """of `benchmarks.keepup.publisher`, a quote"""
    looking_cores: float
    """of `benchmarks.keepup.prober` and the API process that it asks"""


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them, and where and when they were measured."""

    measured: str
    feed: FeedCosts
    events: EventCosts
    reads: ReadCosts
    keys: KeyCosts
    bench: BenchCosts


def read_costs(path: Path) -> Costs:
    """Return the costs that `costs` printed into a file.

    Raises:
        msgspec.DecodeError: it holds something else.
    """
    return msgspec.json.decode(path.read_bytes(), type=Costs)


DEFAULT: Final = Costs(
    measured="`capacity costs`, 2026-11-26, Intel(R) Xeon(R) Processor, 2 cores",
    feed=FeedCosts(
        record_us=2.081,
        batch_us=2330.0,
        value_us=7.009,
        store_value_us=5.683,
        store_call_us=1696.0,
        broker_us=0.3675,
        broker_live_us=13.02,
        log_bytes=31.71,
    ),
    events=EventCosts(
        worker_us=204.4,
        worker_item_us=3.958,
        store_us=64.32,
        store_item_us=5.168,
        broker_us=44.84,
        broker_item_us=0.5158,
        log_bytes=100.0,
        log_item_bytes=3.95,
    ),
    reads=ReadCosts(
        turn_us=48.6,
        store=StoreCosts(turn_us=3.844, write_us=4.313),
        wake_us=0.0,
        shape=(
            0.6721,
            0.7171,
            0.748,
            0.7705,
            0.7901,
            0.8082,
            0.8252,
            0.8412,
            0.8564,
            0.8713,
            0.8845,
            0.899,
            0.9135,
            0.9281,
            0.9414,
            0.9527,
            0.9625,
            0.9708,
            0.979,
            0.9871,
            0.9947,
            1.002,
            1.01,
            1.018,
            1.026,
            1.035,
            1.043,
            1.053,
            1.062,
            1.073,
            1.084,
            1.097,
            1.111,
            1.127,
            1.144,
            1.167,
            1.196,
            1.238,
            1.333,
            1.8,
        ),
        stalls_per_s=8.875,
        stalls_us=(
            443.5,
            446.2,
            448.1,
            449.0,
            455.1,
            463.5,
            476.5,
            483.9,
            488.6,
            495.3,
            541.0,
            570.7,
            617.4,
            639.2,
            650.0,
            663.8,
            678.7,
            691.1,
            706.9,
            732.3,
            765.6,
            793.8,
            810.5,
            828.6,
            846.6,
            854.2,
            862.7,
            951.1,
            1024.0,
            1123.0,
            1146.0,
            1243.0,
            1590.0,
            1651.0,
            2336.0,
            3293.0,
            4395.0,
            5807.0,
            6848.0,
            7340.0,
        ),
        endpoints={
            "bars": Request(api_us=84.71, store_us=12.59, is_pointed=False),
            "similar": Request(api_us=91.43, store_us=8.354, is_pointed=True),
            "recommendations": Request(api_us=994.6, store_us=39.49, is_pointed=True),
            "publish": Request(api_us=579.4, store_us=0.0, is_pointed=False),
        },
    ),
    keys=KeyCosts(
        instrument_bytes=12110.0,
        bar_bytes=218.2,
        user_bytes=97.59,
        item_bytes=33.26,
        pair_bytes=39.79,
        short_pair_bytes=19.49,
    ),
    bench=BenchCosts(asking_us=17.16, offering_us=30.49, publishing_us=5.06, looking_cores=0.2535),
)
