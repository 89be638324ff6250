"""Quotes to minute bars with Bytewax: `python -m benchmarks.peers.bytewax`.

`KafkaSource` as it is; `flat_map_batch`, which decodes what one poll returned in one call; then
`stateful_batch`, which keeps the bars of an instrument. `fold_window` is made of that operator, but
awakes each of its keys by itself and keeps a clock for each: with 50,000 keys it did 1,400 quotes/s
here where this did 218,000 (without Kafka and Redis). Recovery, which would save the state, is off.
"""

# Its packages are in an environment of their own, where mypy does not see them.
# mypy: ignore-errors

import os
from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

from benchmarks.peers.quotes import MINUTE_MS, Bar, Quote, decode
from benchmarks.peers.sink import BarKey, BarSink
from contracts.topics import QUOTES

BarsAndQuotes = tuple[dict[BarKey, Bar], int]


class MinuteBars(op.StatefulBatchLogic[Quote, BarsAndQuotes, None]):
    """The bars of one instrument."""

    __slots__ = ("_bars",)

    def __init__(self, _resumed: None) -> None:
        self._bars: dict[BarKey, Bar] = {}

    def on_batch(self, values: list[Quote]) -> tuple[Iterable[BarsAndQuotes], bool]:
        """Fold the quotes, and hand on each bar that they changed."""
        bars = self._bars
        changed: dict[BarKey, Bar] = {}
        for quote in values:
            key = (quote.instrument_id, quote.ts // MINUTE_MS * 60)
            price = quote.price
            bar = bars.get(key)
            if bar is None:
                bar = bars[key] = Bar(price, price, price, price)
            bar.fold(price, quote.size)
            changed[key] = bar
        return ((changed, len(values)),), op.StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        """Save nothing: recovery is off."""


class ToRedis(DynamicSink[tuple[str, BarsAndQuotes]], StatelessSinkPartition[Any]):
    """Hands the bars to the thread that writes them."""

    def __init__(self, sink: BarSink) -> None:
        self._sink = sink

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> "ToRedis":
        """Return itself: there is one worker."""
        self._sink.start()
        return self

    def write_batch(self, items: list[tuple[str, BarsAndQuotes]]) -> None:
        """Take what changed."""
        newest: dict[BarKey, Bar] = {}
        quotes = 0
        for _, (changed, n) in items:
            newest.update(changed)
            quotes += n
        self._sink.put(newest, quotes)


def bars_flow(sink: BarSink) -> Dataflow:
    """Return the dataflow."""

    def keyed(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[tuple[str, Quote]]:
        sink.begin()
        return [(message.key.decode(), decode(message.value)) for message in messages]

    flow = Dataflow("bars")
    source = KafkaSource([os.environ["KAFKA_BOOTSTRAP_SERVERS"]], [QUOTES.name])
    messages = op.input("quotes", flow, source)
    quotes = op.flat_map_batch("decode", messages, keyed)
    bars = op.stateful_batch("bars", quotes, MinuteBars)
    op.output("redis", bars, ToRedis(sink))
    return flow


if __name__ == "__main__":
    cli_main(bars_flow(BarSink.from_environment()))
