"""Three days of quotes, their bars, and where each of these is stored."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

import pyarrow as pa
from pyiceberg.table import Table

from api.bars.aggregation import Window
from api.bars.intervals import Interval, parse_interval
from contracts.archive import BARS_TABLE
from contracts.bars import FIELDS, BarValue
from contracts.keyspace import FOLDING_FIELD
from contracts.log_position import LogPosition
from contracts.partitioning import instrument_partition
from contracts.times import DAY_MS, MINUTE_MS
from contracts.topics import QUOTES
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import arrow_schema_of, open_table
from tests.api.conftest import NOW_MS, TOPOLOGY, Filled
from tests.oracles.bars import Placed, bar_of
from tests.oracles.served_bars import served_bars

RUNNING_MS: Final = NOW_MS // MINUTE_MS * MINUTE_MS
RETAINED: Final = 60
"""minutes in Redis"""
INSTRUMENT: Final = 4
ARCHIVED_ONLY: Final = 17
"""Of another bucket."""


@dataclass(frozen=True)
class Quote:
    """A quote of the market; prices and sizes are such that their sums are exact."""

    ts: int
    price: float
    size: float


ts_of: Final = attrgetter("ts")


@dataclass
class Market:
    """The quotes of one instrument, aggregated naively."""

    quotes: list[Quote]
    minutes: dict[int, list[Quote]] = field(init=False)
    values: dict[int, BarValue] = field(init=False)

    def __post_init__(self) -> None:
        self.minutes = {}
        self.quotes.sort(key=ts_of)
        for quote in self.quotes:
            self.minutes.setdefault(quote.ts // MINUTE_MS * MINUTE_MS, []).append(quote)
        self.values = {minute: _value(quotes) for minute, quotes in self.minutes.items()}

    @classmethod
    def drawn(cls, seed: int, days: int) -> "Market":
        """Draw quotes in about two of three minutes, but for the nights."""
        draw = random.Random(seed)
        quotes = [
            Quote(
                minute + draw.randrange(MINUTE_MS), draw.randrange(100, 900) / 8, draw.randrange(9)
            )
            for minute in range(RUNNING_MS - days * DAY_MS, RUNNING_MS + 1, MINUTE_MS)
            for _ in range(draw.randrange(3))
            if minute % DAY_MS > DAY_MS // 3
        ]
        return cls([quote for quote in quotes if quote.ts <= NOW_MS])

    def bars(
        self, starts: Iterable[int], interval: Interval, fill: str = "none"
    ) -> list[dict[str, Any]]:
        """Return the bars of buckets, made of all quotes in the plainest way."""
        buckets = [(start, interval.end_of(start)) for start in starts]
        return served_bars(self.values, buckets, NOW_MS, fill)

    def last(
        self, limit: int, text: str, end_ms: int = NOW_MS, fill: str = "none"
    ) -> list[dict[str, Any]]:
        """Return the bars of the last buckets before an end."""
        interval = parse_interval(text)
        return self.bars(Window.before(end_ms, interval, limit).starts(), interval, fill)

    def since(self, start_ms: int, text: str, fill: str = "none") -> list[dict[str, Any]]:
        """Return the bars of all buckets from a start on."""
        interval = parse_interval(text)
        return self.bars(Window.between(start_ms, NOW_MS, interval).starts(), interval, fill)

    def held(self, filled: Filled, instrument_id: int = INSTRUMENT) -> None:
        """Write the bars that Redis retains."""
        newest = max(self.minutes)
        held = {
            minute // 1000: value
            for minute, value in self.values.items()
            if minute > newest - RETAINED * MINUTE_MS
        }
        filled.bars(instrument_id, held)
        partition = instrument_partition(instrument_id, TOPOLOGY.quotes)
        folding = f'{{"bars_retention_minutes":{RETAINED}}}'
        filled.store.hset(filled.keys.position(QUOTES, partition), FOLDING_FIELD, folding)

    def rows(self, end_ms: int, *, late: bool) -> Iterator[dict[str, Any]]:
        """Yield rows of the table `bars`; `late`: without the last quote of each minute."""
        for minute, quotes in self.minutes.items():
            had = quotes[:-1] if late else quotes
            if minute < end_ms and had:
                yield row(INSTRUMENT, minute, had, revision=len(had))


def row(instrument_id: int, minute_ms: int, quotes: list[Quote], revision: int) -> dict[str, Any]:
    """Return a row of the table `bars`."""
    value = _value(quotes)
    return {
        "log": 0,
        "partition": 0,
        "offset": minute_ms // MINUTE_MS,
        "instrument_id": instrument_id,
        "minute": minute_ms * 1000,
        **{
            field.name: getattr(value, letter) * (1000 if field.kind == "time" else 1)
            for letter, field in FIELDS.items()
        },
        "revision": revision,
    }


def table_of(config: ArchiveConfig) -> Table:
    """Return the table `bars`."""
    return open_table(open_catalog(config), config, BARS_TABLE)


def append(table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a table: a file for each day and bucket."""
    table.append(pa.Table.from_pylist(list(rows), schema=arrow_schema_of(BARS_TABLE)))


def _value(quotes: list[Quote]) -> BarValue:
    return bar_of(
        Placed(LogPosition(0, offset), vars(quote)) for offset, quote in enumerate(quotes)
    )
