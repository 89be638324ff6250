"""JSON quotes that stand in Kafka, to minute bars in Redis.

Hypothesis: a worker that takes a fetched batch at a time is 25 times as fast as one that takes a
record at a time, though it keeps offsets in its values and fences its writes, which the other does
not.

Work: each of 50,000 instruments quotes once a second of event time, within one minute; all quotes
are in Kafka before a contender starts, lz4, 8 partitions. It ends when the last bar is in Redis and
the position says so. Both write once a second, so their bars are equally fresh. Afterwards the bars
in Redis are added up: they must hold each quote once.

Baseline: `benchmarks.peers.plain_faust`, one process as well, from its first record on. It folds
the first part of the same log and is compared by its rate: all of it would take minutes. `--vs`
takes another engine instead, see `benchmarks.engines`; each file in `peers/` says how it is used.
An engine may keep several cores busy, so beside the ratio of the rates stands that of the quotes a
second of CPU, all threads and child processes of either side counted.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from benchmarks.progress import PeerProgress, Positions, claimed_ms, folded_ms
from benchmarks.stage import ContenderError
from contracts.keyspace import NEWEST_FIELD, Keyspace
from contracts.messages import Quote
from contracts.topics import INTERACTIONS, QUOTES
from runtime.stores import Store
from runtime.topology import Topology

OURS: Final = "stream_processors"
MINUTE_MS: Final = 60_000
_KEYS_A_READ: Final = 5_000


def make_quotes(n: int, instruments: int, start_ms: int, seed: int) -> Iterator[Quote]:
    """Return n quotes: the instruments in a new order each second, prices that walk at random."""
    rng = np.random.default_rng(seed)
    price = rng.uniform(5, 500, instruments)
    for second in range(-(-n // instruments)):
        price *= np.exp(1e-4 * rng.standard_normal(instruments))
        order = rng.permutation(instruments)[: n - second * instruments]
        offset_ms = np.sort(rng.integers(0, 1000, len(order)))
        size = rng.integers(1, 1000, len(order))
        ts_ms = start_ms + (second * 1000 + offset_ms) % MINUTE_MS
        columns = (order, np.round(price[order], 2), size, ts_ms)
        for instrument, its_price, its_size, its_ts_ms in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            yield Quote(instrument_id=instrument, price=its_price, size=its_size, ts=its_ts_ms)


class OurBars:
    """How far our worker is with the quotes."""

    def __init__(self, store: Store, keyspace: Keyspace, topology: Topology, records: int) -> None:
        self.records = records
        self._store = store
        self._keyspace = keyspace
        self._positions = Positions(store, keyspace, topology)

    def started_ms(self) -> int | None:
        """Return when it had claimed its partitions."""
        return claimed_ms(self._positions.of(INTERACTIONS))

    def finished_ms(self) -> int | None:
        """Return when the positions had reached the log's end."""
        return folded_ms(self._positions.of(QUOTES), self.records)

    def check(self) -> None:
        """Check that each quote is in one bar."""
        check_bars(self._store, self._keyspace, self.records)


class PeerBars:
    """How far another engine is; it counts when it has written `at_least` quotes."""

    def __init__(self, store: Store, keyspace: Keyspace, at_least: int) -> None:
        self.records = 0
        self._store = store
        self._keyspace = keyspace
        self._at_least = at_least
        self._said = PeerProgress(store, keyspace)

    def started_ms(self) -> int | None:
        """Return when its first quote came."""
        return self._said.started_ms()

    def finished_ms(self) -> int | None:
        """Return when it had written as much as is asked of it."""
        said = self._said.written(self._at_least)
        if said is None:
            return None
        self.records = said.records
        return said.at_ms

    def check(self) -> None:
        """Check that it wrote at least what it says: it went on until it was stopped."""
        check_bars(self._store, self._keyspace, self.records, and_more=True)


class _Counted(msgspec.Struct):
    n: int


_counted = msgspec.json.Decoder(_Counted)


def check_bars(store: Store, keyspace: Keyspace, records: int, *, and_more: bool = False) -> None:
    """Add up the quotes of all bars.

    Raises:
        ContenderError: it is another number.
    """
    keys = list(store.scan_iter(match=f"{keyspace.namespace}:bars:*", count=10_000))
    quotes = 0
    for at in range(0, len(keys), _KEYS_A_READ):
        with store.pipeline(transaction=False) as pipeline:
            for key in keys[at : at + _KEYS_A_READ]:
                pipeline.hgetall(key)
            for bars in pipeline.execute():
                bars.pop(NEWEST_FIELD, None)
                quotes += sum(_counted.decode(bar).n for bar in bars.values())
    if quotes < records or (quotes > records and not and_more):
        raise ContenderError(f"{records} quotes were folded, but the bars in Redis hold {quotes}")
