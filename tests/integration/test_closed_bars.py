"""Quotes to the topic of closed bars, on a real broker and store."""

import contextlib
import random
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from contracts.keyspace import CLOSED_FIELD
from contracts.messages import Quote
from contracts.partitioning import instrument_partition
from contracts.topics import BARS, QUOTES
from tests.chaos.log import Log
from tests.chaos.modes import CLOSE_AFTER_S, RETENTION_MINUTES
from tests.chaos.proxy import Network, Proxy
from tests.chaos.truth.closed_bars import closed_by, wrong_closed_bars
from tests.chaos.truth.messages import good
from tests.integration.conftest import Pipeline, kill
from tests.patience import eventually

pytestmark = pytest.mark.slow

BASE_MS = 1_700_000_040_000
INSTRUMENTS = range(20)
LAST = 19
"""minute"""
SETTINGS = {
    "session_timeout_s": 6,  # after which a killed worker's partitions are reassigned
    "bars_retention_minutes": RETENTION_MINUTES,
    "bars_close_after_seconds": CLOSE_AFTER_S,
}


@contextlib.contextmanager
def way_to(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy of the store, and its URL."""
    parts = urlsplit(url)
    with Network() as network:
        proxy = network.proxy(parts.port or 6379)
        yield proxy, parts._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()


@contextlib.contextmanager
def log_of(pipeline: Pipeline) -> Iterator[Log]:
    log = Log(pipeline.broker)
    yield log
    log.close()


def some_quotes(rng: random.Random, minutes: range) -> list[Quote]:
    """Return quotes of all instruments in each minute, within some five minutes in any order."""
    quotes = [
        Quote(
            instrument_id=instrument,
            price=rng.randint(64, 6_400) / 64,
            size=rng.randint(0, 50),
            ts=BASE_MS + minute * 60_000 + rng.randrange(60) * 1_000,
        )
        for minute in minutes
        for instrument in INSTRUMENTS
        for _ in range(3)
    ]
    return sorted(quotes, key=lambda quote: quote.ts + rng.randrange(5 * 60_000))


def wrong(pipeline: Pipeline, log: Log) -> list[str]:
    """Return the discrepancies, once all quotes are folded."""
    pipeline.wait_until_folded([QUOTES])
    partitions = pipeline.topology.quotes
    for topic in (QUOTES, BARS):
        log.read_on(topic, partitions)
    closed = (
        int(pipeline.store.hget(pipeline.keyspace.position(QUOTES, p), CLOSED_FIELD))
        for p in range(partitions)
    )
    return [
        line for p, closed_s in enumerate(closed) for line in wrong_closed_bars(log, p, closed_s)
    ]


def published(pipeline: Pipeline, log: Log) -> int:
    log.read_on(BARS, pipeline.topology.quotes)
    return sum(len(log.records[BARS.name, p]) for p in range(pipeline.topology.quotes))


def test_closed_bars_match_a_recomputation_even_if_workers_die_before_they_write(
    pipeline: Pipeline, store_url: str, seed: int
) -> None:
    rng = random.Random(seed)
    with log_of(pipeline) as log:
        with (
            way_to(store_url) as (proxy, url),
            pipeline.worker(redis_url=url, **SETTINGS) as worker,
        ):
            pipeline.publish(some_quotes(rng, range(8)))
            pipeline.wait_until_folded([QUOTES])
            before = published(pipeline, log)
            assert before > 0
            # The worker knows all instruments: it writes new minutes without reading first.
            proxy.stall_at(b"EVALSHA", b":bars:", b"HSET")
            # The first quotes folded close minutes.
            ahead = [
                Quote(instrument_id=i, price=1, ts=BASE_MS + LAST * 60_000) for i in INSTRUMENTS
            ]
            pipeline.publish([*ahead, *some_quotes(rng, range(8, LAST + 1))])
            eventually(lambda: not proxy.is_open, "the worker writes bars")
            assert published(pipeline, log) > before
            kill(worker)
            proxy.cut()
        with pipeline.worker(**SETTINGS):
            assert wrong(pipeline, log) == []
            for p in range(pipeline.topology.quotes):
                assert closed_by(good(log.counted((QUOTES.name, p)))) > BASE_MS // 1000
            before = published(pipeline, log)
            pipeline.publish([Quote(instrument_id=4, price=9_999, ts=BASE_MS)])
            assert wrong(pipeline, log) == []
            assert published(pipeline, log) == before + 1
        # The last minutes are still open, and the next worker sees no quote of most instruments.
        few = {instrument_partition(i, pipeline.topology.quotes): i for i in INSTRUMENTS}
        with pipeline.worker(**SETTINGS):
            ts_ms = BASE_MS + (LAST + 10) * 60_000
            pipeline.publish([Quote(instrument_id=i, price=1, ts=ts_ms) for i in few.values()])
            assert wrong(pipeline, log) == []
