"""Quotes to minute bars with Quix Streams: `python -m benchmarks.peers.quixstreams`.

A streaming dataframe with a tumbling window and `reduce`, its state in RocksDB without a changelog
topic, and a `BatchingSink` that a commit flushes once a second. msgspec decodes instead of the
library's own JSON deserializer. Windows take late quotes for an hour, as ours do.
"""

# Its packages are in an environment of their own, where mypy does not see them.
# mypy: ignore-errors

import os
import tempfile
from typing import Any

from quixstreams import Application
from quixstreams.models import Deserializer, SerializationContext
from quixstreams.sinks import BatchingSink, SinkBatch

from benchmarks.peers.quotes import MINUTE_MS, Quote, decode
from benchmarks.peers.sink import FLUSH_INTERVAL_S, BarKey, BarSink
from contracts.topics import QUOTES

_GRACE_MS = 3_600_000

Bar = dict[str, float]


class QuoteDeserializer(Deserializer):
    """Decodes a quote."""

    def __init__(self, sink: BarSink) -> None:
        super().__init__()
        self._sink = sink

    def __call__(self, value: bytes, ctx: SerializationContext) -> Quote:  # noqa: ARG002
        """Return the quote that a record holds."""
        self._sink.begin()
        return decode(value)


def first(quote: Quote) -> Bar:
    """Return the bar of one quote."""
    price, size = quote.price, quote.size
    return {
        "o": price, "h": price, "l": price, "c": price, "v": size, "n": 1, "pv": price * size
    }  # fmt: skip


def fold(bar: Bar, quote: Quote) -> Bar:
    """Return the bar with one more quote, newer than those before."""
    price, size = quote.price, quote.size
    if price > bar["h"]:
        bar["h"] = price
    elif price < bar["l"]:
        bar["l"] = price
    bar["c"] = price
    bar["v"] += size
    bar["n"] += 1
    bar["pv"] += price * size
    return bar


class ToRedis(BatchingSink):
    """Writes the newest bars at each commit."""

    def __init__(self, sink: BarSink) -> None:
        super().__init__()
        self._sink = sink

    def write(self, batch: SinkBatch) -> None:
        """Take what a partition's quotes changed."""
        newest: dict[BarKey, Any] = {
            (int(item.key), item.value["start"] // 1000): item.value["value"] for item in batch
        }
        self._sink.put(newest, batch.size)

    def flush(self) -> None:
        """Write what all partitions' quotes changed."""
        super().flush()
        self._sink.write()


def main() -> None:
    """Fold quotes until SIGTERM."""
    sink = BarSink.from_environment()
    with tempfile.TemporaryDirectory() as state:
        app = Application(
            broker_address=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            consumer_group=f"{os.environ['NAMESPACE']}-quixstreams",
            auto_offset_reset="earliest",
            commit_interval=FLUSH_INTERVAL_S,
            state_dir=state,
            use_changelog_topics=False,
            auto_create_topics=False,
            loglevel="WARNING",
        )
        quotes = app.topic(
            QUOTES.name,
            key_deserializer="str",
            value_deserializer=QuoteDeserializer(sink),
            timestamp_extractor=lambda quote, *_: quote.ts,
        )
        windows = app.dataframe(quotes).tumbling_window(MINUTE_MS, grace_ms=_GRACE_MS)
        windows.reduce(fold, first).current().sink(ToRedis(sink))
        app.run()


if __name__ == "__main__":
    main()
