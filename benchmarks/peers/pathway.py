"""Quotes to minute bars with Pathway: `python -m benchmarks.peers.pathway`.

Pathway's own Kafka and JSON reader, set to append-only, then `groupby` on instrument and minute
with the built-in reducers: all of it Rust. `windowby` with a tumbling window says the same
and took a tenth more CPU. Pathway has no Redis connector, so `subscribe` hands each bar that
changed to Python, where it is written at the end of a minibatch, one a second or less.

What came before the end of the first minibatch is not counted, neither its quotes nor its time:
Pathway does not say when its reader got its first record.
"""

# Its packages are in an environment of their own, where mypy does not see them.
# mypy: ignore-errors

import os
from typing import Any

import pathway as pw

from benchmarks.peers.quotes import MINUTE_MS
from benchmarks.peers.sink import FLUSH_INTERVAL_S, BarKey, BarSink
from contracts.topics import QUOTES


class QuoteRow(pw.Schema, append_only=True):
    """A quote, as it is in Kafka."""

    instrument_id: int
    price: float
    size: float
    ts: int


def bars_of(quotes: pw.Table) -> pw.Table:
    """Return the minute bars of the quotes."""
    minutes = quotes.with_columns(minute=pw.this.ts // MINUTE_MS, pv=pw.this.price * pw.this.size)
    return minutes.groupby(pw.this.instrument_id, pw.this.minute).reduce(
        instrument=pw.this.instrument_id,
        minute_s=pw.this.minute * (MINUTE_MS // 1000),
        o=pw.reducers.earliest(pw.this.price),
        h=pw.reducers.max(pw.this.price),
        l=pw.reducers.min(pw.this.price),
        c=pw.reducers.latest(pw.this.price),
        v=pw.reducers.sum(pw.this.size),
        n=pw.reducers.count(),
        pv=pw.reducers.sum(pw.this.pv),
    )


class ToRedis:
    """Gathers what a minibatch changed, and writes it at its end."""

    def __init__(self, sink: BarSink) -> None:
        self._sink = sink
        self._changed: dict[BarKey, dict[str, Any]] = {}
        self._quotes = 0
        self._first = True

    # The engine calls with these names.
    def on_change(self, key: pw.Pointer, row: dict[str, Any], time: int, is_addition: bool) -> None:  # noqa: ARG002, FBT001
        """Take a bar: the old one is taken out, the new one put in."""
        if not is_addition:
            self._quotes -= row["n"]
            return
        self._quotes += row["n"]
        self._changed[row.pop("instrument"), row.pop("minute_s")] = row

    def on_time_end(self, time: int) -> None:  # noqa: ARG002
        """Write what the minibatch changed."""
        self._sink.put(self._changed, 0 if self._first else self._quotes)
        self._changed, self._quotes = {}, 0
        self._sink.write()
        if self._first:
            self._sink.begin()
            self._first = False


def main() -> None:
    """Fold quotes until SIGTERM."""
    quotes = pw.io.kafka.read(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"{os.environ['NAMESPACE']}-pathway",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": "false",
        },
        topic=QUOTES.name,
        schema=QuoteRow,
        format="json",
        autocommit_duration_ms=round(1000 * FLUSH_INTERVAL_S),
    )
    writer = ToRedis(BarSink.from_environment())
    pw.io.subscribe(bars_of(quotes), writer.on_change, on_time_end=writer.on_time_end)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    main()
