"""What `spark` trains on: an archive of simulated interactions, in the order in which they came.

Items stand in sectors in a circle; a user takes most items from one of them and the next one, in
each by Zipf's law. One item is a hit that about half of the users take, and some users, crawlers,
take any item, until their histories are at the cap.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.harness.zipf import draw
from contracts.archive import INTERACTIONS_TABLE
from contracts.messages import Ints
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import POSITIONS_PROPERTY, Position, encode_positions
from runtime.archive.tables import arrow_schema_of, open_table

EVENTS_A_USER: Final = 12
_EVENTS_A_DAY: Final = 1_000_000
_ITEMS_A_SECTOR: Final = 100
_FROM_ANYWHERE: Final = 0.02
"""Share of events on items outside of the own sectors."""
_HIT: Final = 0
_OF_HIT: Final = 0.06
"""Share of events on the hit: of twelve, about one in two users has one."""
_CRAWLERS: Final = 50
_OF_CRAWLERS: Final = 0.005
"""Share of events that crawlers do."""
_PARTITIONS: Final = 8
_BEGUN_MS: Final = 1_600_000_000_000
_DAY_MS: Final = 86_400_000


def archive(config: ArchiveConfig, events: int, items: int, seed: int) -> None:
    """Write an archive of so many events on so many items, a file for each day."""
    table = open_table(open_catalog(config), config, INTERACTIONS_TABLE)
    for start, rows in _days(events, items, np.random.default_rng(seed)):
        end = start + rows.num_rows
        positions = {p: Position("simulated", 0, end) for p in range(_PARTITIONS)}
        table.append(rows, {POSITIONS_PROPERTY: encode_positions(positions)})


def _days(events: int, items: int, rng: np.random.Generator) -> Iterator[tuple[int, pa.Table]]:
    """Yield the number of a day's first event, and the rows of the day."""
    users = max(1, events // EVENTS_A_USER)
    for start in range(0, events, _EVENTS_A_DAY):
        n = min(_EVENTS_A_DAY, events - start)
        user = rng.integers(users, size=n)
        item = _items(user, items, rng)
        crawled = rng.random(n) < _OF_CRAWLERS
        user[crawled] = rng.integers(_CRAWLERS, size=int(crawled.sum()))
        item[crawled] = rng.integers(items, size=int(crawled.sum()))
        yield start, _rows(start, user, item)


def _items(user: Ints, items: int, rng: np.random.Generator) -> Ints:
    """Return what item each event is on."""
    sectors, n = items // _ITEMS_A_SECTOR, len(user)
    sector = (user + rng.integers(2, size=n)) % sectors
    anywhere = rng.random(n) < _FROM_ANYWHERE
    sector[anywhere] = rng.integers(sectors, size=int(anywhere.sum()))
    # Rank r of sector s is item r x sectors + s.
    item = draw(n, _ITEMS_A_SECTOR, rng) * sectors + sector
    item[rng.random(n) < _OF_HIT] = _HIT
    return item


def _rows(start: int, user: Ints, item: Ints) -> pa.Table:
    n = len(user)
    day_ms = _BEGUN_MS + start // _EVENTS_A_DAY * _DAY_MS
    ts_ms = day_ms - day_ms % _DAY_MS + np.arange(n) * _DAY_MS // n
    columns = {
        "log": pa.array(np.zeros(n, np.int32)),
        "partition": pa.array((user % _PARTITIONS).astype(np.int32)),
        "offset": pa.array(start + np.arange(n)),
        "user_id": pc.binary_join_element_wise("u", pa.array(user).cast(pa.string()), ""),
        "instrument_id": pa.array(item),
        "event": pa.array(["view"] * n),
        "price": pa.nulls(n, pa.float64()),
        "quantity": pa.nulls(n, pa.float64()),
        "ts": pa.array(ts_ms * 1_000).cast(pa.timestamp("us", "UTC")),
        "last_event_before": pa.nulls(n, pa.timestamp("us", "UTC")),
        "erased_at": pa.nulls(n, pa.timestamp("us", "UTC")),
    }
    rows = pa.Table.from_pydict(columns, schema=arrow_schema_of(INTERACTIONS_TABLE))
    return rows.sort_by([(column, "ascending") for column in INTERACTIONS_TABLE.sorted_by])
