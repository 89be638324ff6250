"""Quotes to minute bars as Faust's documentation shows: `python -m benchmarks.peers.plain_faust`.

One agent, one record at a time; bars in a dict; a timer that writes what changed through redis-py's
pipeline once a second, as often as ours. What a careful engineer would add for speed is here:
msgspec instead of Faust's own models, hiredis, a pipeline without MULTI. Only ours has
offsets in the values, fencing, dead letters, late quotes and expiry. Here a crash loses or repeats
quotes.
"""

import tempfile
from pathlib import Path

import faust
import msgspec
import redis.asyncio

from benchmarks.peers.progress import STARTED_FIELD, now_ms, progress_key, report
from contracts.keyspace import Keyspace
from contracts.times import MINUTE_MS, MINUTE_S
from contracts.topics import QUOTES
from runtime.settings import SharedSettings


class Quote(msgspec.Struct, gc=False):
    """A price of an instrument at an event time, as it is in Kafka."""

    instrument_id: int
    price: float
    ts: int
    size: float = 0


class Bar(msgspec.Struct, gc=False):
    """A minute bar."""

    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float = 0
    n: int = 0
    pv: float = 0

    def fold(self, price: float, size: float) -> None:
        """Take in a quote that is newer than those before."""
        if price > self.h:
            self.h = price
        elif price < self.l:
            self.l = price
        self.c = price
        self.v += size
        self.n += 1
        self.pv += price * size


decode = msgspec.json.Decoder(Quote).decode
settings = SharedSettings()
app = faust.App(
    f"{settings.namespace}-plain-faust",
    broker=f"kafka://{settings.kafka.bootstrap_servers}",
    store="memory://",
    value_serializer="raw",
    topic_disable_leader=True,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    # As ours: the defaults make a first join take 30 s.
    broker_session_timeout=10.0,
    broker_heartbeat_interval=3.0,
    broker_rebalance_timeout=6.0,
)
quotes = app.topic(QUOTES.name, value_type=bytes)
store = redis.asyncio.Redis.from_url(settings.redis_url)
encode = msgspec.json.Encoder().encode
keyspace = Keyspace(settings.namespace)

bars: dict[tuple[int, int], Bar] = {}
changed: set[tuple[int, int]] = set()
done = 0
started_ms = 0


@app.agent(quotes)
async def fold(stream: faust.StreamT[bytes]) -> None:
    """Fold each quote into its bar."""
    global done, started_ms
    async for value in stream:
        if not started_ms:
            started_ms = now_ms()
            await store.hset(progress_key(settings.namespace), STARTED_FIELD, started_ms)
        quote = decode(value)
        key = (quote.instrument_id, quote.ts // MINUTE_MS * MINUTE_S)
        price = quote.price
        bar = bars.get(key)
        if bar is None:
            bar = bars[key] = Bar(price, price, price, price)
        bar.fold(price, quote.size)
        changed.add(key)
        done += 1


@app.timer(1.0)  # type: ignore[untyped-decorator]  # Faust does not type it
async def write() -> None:
    """Write the bars that changed."""
    written = done
    keys = list(changed)
    changed.clear()
    for at in range(0, len(keys), 1000):
        async with store.pipeline(transaction=False) as pipeline:
            for instrument, minute in keys[at : at + 1000]:
                bar = encode(bars[instrument, minute])
                pipeline.hset(keyspace.bars(0, instrument), str(minute), bar)
            await pipeline.execute()
    if written:
        await store.hset(progress_key(settings.namespace), items=report(started_ms, written))


if __name__ == "__main__":
    # Faust makes a folder for tables, though there are none.
    with tempfile.TemporaryDirectory() as folder:
        app.conf.datadir = Path(folder)
        faust.Worker(app, loglevel="warning").execute_from_commandline()
