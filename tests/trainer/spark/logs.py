"""Logs of `interactions`: archived, folded as the workers fold them, and put into a store."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from contracts.archive import ERASED, INTERACTIONS_TABLE
from contracts.event_types import BUILT_IN
from contracts.keyspace import Keyspace
from contracts.partitioning import user_partition
from contracts.tombstones import Tombstone
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import POSITIONS_PROPERTY, Position, encode_positions
from runtime.archive.tables import arrow_schema_of, open_table
from runtime.redis.stores import Store
from stream_processors.histories.fold import fold_leaving
from stream_processors.histories.history import History
from stream_processors.histories.rules import HistoryRules
from tests.oracles.gram import gram_matrix
from tests.trainer.setup import PARTITIONS, put_counts


class Record(NamedTuple):
    """A record of the topic, as the archive has it."""

    partition: int
    offset: int
    user_id: str
    instrument_id: int | None
    event: str
    ts_ms: int
    price: float | None = None
    quantity: float | None = None
    last_event_before_ms: int | None = None
    erased_at_ms: int | None = None


def archive(config: ArchiveConfig, commits: Iterable[Sequence[Record]]) -> list[int]:
    """Write the records, a snapshot for each commit, and return the snapshots' ids."""
    catalog = open_catalog(config)
    table = open_table(catalog, config, INTERACTIONS_TABLE)
    positions: dict[int, Position] = {}
    ids = []
    for records in commits:
        for record in records:
            positions[record.partition] = Position("made", 0, record.offset + 1)
        table.append(rows(records), {POSITIONS_PROPERTY: encode_positions(positions)})
        snapshot = table.current_snapshot()
        assert snapshot is not None
        ids.append(snapshot.snapshot_id)
    return ids


def rows(records: Sequence[Record]) -> pa.Table:
    def us(ts_ms: int | None) -> int | None:
        return None if ts_ms is None else 1_000 * ts_ms

    columns: dict[str, list[Any]] = {
        "log": [0] * len(records),
        "partition": [r.partition for r in records],
        "offset": [r.offset for r in records],
        "user_id": [r.user_id for r in records],
        "instrument_id": [r.instrument_id for r in records],
        "event": [r.event for r in records],
        "price": [r.price for r in records],
        "quantity": [r.quantity for r in records],
        "ts": [us(r.ts_ms) for r in records],
        "last_event_before": [us(r.last_event_before_ms) for r in records],
        "erased_at": [us(r.erased_at_ms) for r in records],
    }
    return pa.Table.from_pydict(columns, schema=arrow_schema_of(INTERACTIONS_TABLE))


def folded(records: Iterable[Record], rules: HistoryRules) -> dict[str, tuple[Record, History]]:
    """Return the last record and the history of each user who has one, as a worker folds them."""
    histories: dict[str, History] = defaultdict(lambda: History.empty(scaled=rules.is_scaled))
    last: dict[str, Record] = {}
    left_out_before_ms: dict[str, int] = defaultdict(int)
    for record in records:
        history = histories[record.user_id]
        if record.event == ERASED:
            last_ms, user = history.last_ts_ms(), record.user_id
            tombstone = Tombstone(user, record.last_event_before_ms, record.erased_at_ms)
            if not tombstone.applies_to(last_ms):
                continue
            before_ms = tombstone.leaves_out_before_ms(last_ms)
            left_out_before_ms[user] = max(left_out_before_ms[user], before_ms)
            fold_leaving(history, record.offset)
        elif record.ts_ms < left_out_before_ms[record.user_id]:
            continue
        else:
            value = float("nan") if record.price is None else record.price * (record.quantity or 1)
            item, weight = record.instrument_id or 0, BUILT_IN[record.event]
            rules.fold(history, record.offset, item, weight, record.ts_ms, value)
        last[record.user_id] = record
    return {user: (last[user], histories[user]) for user in last if len(histories[user])}


def put(store: Store, keyspace: Keyspace, folded: Mapping[str, tuple[Record, History]]) -> None:
    pipeline = store.pipeline(transaction=False)
    for user, (last, history) in folded.items():
        partition = user_partition(user, PARTITIONS)
        fields = {
            str(item): json.dumps({"r": affinity, "t": ts_ms, "f": first_ms})
            for item, affinity, ts_ms, first_ms in history.entries.tolist()
        }
        fields["off"] = f"[0,{last.offset}]"
        pipeline.hset(keyspace.history(partition, user), mapping=fields)
        pipeline.zadd(keyspace.active(partition), {user: history.last_ts_ms()})
    pipeline.execute()
    entries = np.concatenate([history.entries for _, history in folded.values()])
    items, columns = np.unique(entries["item"], return_inverse=True)
    users = np.repeat(np.arange(len(folded)), [len(history) for _, history in folded.values()])
    r = csr_array((entries["affinity"], (users, columns))).toarray()
    put_counts(store, keyspace, items.tolist(), gram_matrix(r), 0)
