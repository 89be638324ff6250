"""Records of a topic as rows of its table. Pure.

A record that breaks the topic's rules makes no row. If workers fold the topic, they keep it as a
dead letter.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from confluent_kafka import Message

from contracts.archive import (
    BARS_TABLE,
    ERASED,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    PLACE,
    QUOTES_TABLE,
    ArchiveTable,
)
from contracts.bar_messages import decode_closed_bars
from contracts.batches import decode_quotes
from contracts.feedback import Feedback, decode_feedback
from contracts.input_rules import ANY, InputRules
from contracts.messages import Interaction, Ints, decode_interaction
from contracts.partitioning import instrument_partitions, user_partition
from contracts.times import MAX_TS_MS, US_PER_MS
from contracts.tombstones import Tombstone, decode_tombstone
from runtime.archive.tables import arrow_schema_of
from runtime.kafka.headers import clock_ms, has_readable_headers, headers_of

T = TypeVar("T")


class Place(NamedTuple):
    """Of which partition records are."""

    log: int
    partition: int
    counts: tuple[int, ...]
    """`runtime.archive.positions.Position.counts`"""

    def has_instruments(self, instrument_id: Ints) -> npt.NDArray[np.bool_]:
        """Return which instruments belong to the partition, (n,), by any number of partitions."""
        here = np.zeros(len(instrument_id), np.bool_)
        for count in self.counts:
            here |= instrument_partitions(instrument_id, count) == self.partition
        return here

    def has_user(self, user_id: str) -> bool:
        """Return whether a user belongs to the partition, by any number of partitions."""
        return any(user_partition(user_id, count) == self.partition for count in self.counts)


class Rows(NamedTuple):
    """What a batch of records made."""

    batch: pa.RecordBatch
    rejected: int
    """records that break a rule"""
    misplaced: int = 0
    """those of them whose key belongs to another partition, by all numbers of partitions"""
    reason: str = ""
    """why one of them was rejected, if no worker keeps it as a dead letter for that"""


class _MisplacedError(ValueError):
    """A record's key belongs to another partition."""


def rows_of(
    table: ArchiveTable,
    place: Place,
    records: Sequence[Message],
    now_ms: int,
    rules: InputRules = ANY,
) -> Rows:
    """Return the rows of some records of one partition, in their order.

    A record that fails in any way is rejected, and affects no other.

    Args:
        table: which rows they become.
        place: of which partition they are.
        records: without errors.
        now_ms: the clock; event times too far ahead of it break a rule, or of the time at which the
            broker took the record, where brokers stamp the records.
        rules: the deployment's.
    """
    readable = [record for record in records if has_readable_headers(record)]
    try:
        rows = _ROWS[table.name](place, readable, clock_ms(readable, now_ms), rules)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (of one record, and logged)
        if len(readable) == 1:
            empty = pa.RecordBatch.from_pylist([], arrow_schema_of(table))
            rows = Rows(empty, 1, reason=f"{type(error).__name__}: {error}")
        else:
            each = [rows_of(table, place, [record], now_ms, rules) for record in readable]
            rows = Rows(
                pa.concat_batches([one.batch for one in each]),
                sum(one.rejected for one in each),
                sum(one.misplaced for one in each),
                next(filter(None, (one.reason for one in each)), ""),
            )
    unreadable = len(records) - len(readable)
    reason = rows.reason or ("its headers cannot be read" if unreadable else "")
    return rows._replace(rejected=rows.rejected + unreadable, reason=reason)


def _quotes(place: Place, records: Sequence[Message], clock_ms: Ints, rules: InputRules) -> Rows:
    columns, rejections = decode_quotes([record.value() for record in records], clock_ms, rules)
    # As the workers have it: where no reader looks, it would be another instrument's quote.
    here = place.has_instruments(columns.instrument_id)
    misplaced = int((~here).sum())
    quotes = columns.take(here)
    batch = _batch(
        QUOTES_TABLE,
        place,
        _offsets(records)[quotes.index],
        **_of_table(QUOTES_TABLE, quotes.columns),
    )
    return Rows(batch, len(rejections) + misplaced, misplaced)


def _interactions(
    place: Place, records: Sequence[Message], clock_ms: Ints, rules: InputRules
) -> Rows:
    def decode(record: Message, now_ms: int) -> tuple[Interaction | Tombstone, int]:
        value = record.value()
        if value is None:
            headers = headers_of(record)
            message: Interaction | Tombstone = decode_tombstone(record.key(), headers, now_ms)
            ts_ms = min(max(record.timestamp()[1], 0), MAX_TS_MS)  # a producer may set it
        else:
            message = decode_interaction(value, now_ms, rules)
            ts_ms = message.ts
        if not place.has_user(message.user_id):
            raise _MisplacedError
        return message, ts_ms

    index, decoded, errors = _each(decode, records, clock_ms)
    messages = [message for message, _ in decoded]
    events = [None if isinstance(m, Tombstone) else m for m in messages]
    tombstones = [m if isinstance(m, Tombstone) else None for m in messages]
    batch = _batch(
        INTERACTIONS_TABLE,
        place,
        _offsets(records)[index],
        user_id=[m.user_id for m in messages],
        instrument_id=[e and e.instrument_id for e in events],
        event=[ERASED if e is None else e.event for e in events],
        price=[e and e.price for e in events],
        quantity=[e and e.quantity for e in events],
        ts=np.fromiter((ts for _, ts in decoded), np.int64, len(decoded)) * US_PER_MS,
        last_event_before=_times_us(
            None if t is None else t.last_event_before_ms for t in tombstones
        ),
        erased_at=_times_us(None if t is None else t.erased_at_ms for t in tombstones),
    )
    misplaced = sum(isinstance(error, _MisplacedError) for error in errors)
    return Rows(batch, len(errors), misplaced)


def _feedback(place: Place, records: Sequence[Message], clock_ms: Ints, rules: InputRules) -> Rows:
    def decode(record: Message, now_ms: int) -> Feedback:
        return decode_feedback(record.value() or b"", now_ms, rules)

    index, messages, errors = _each(decode, records, clock_ms)
    names = Feedback.__struct_fields__
    columns = {name: [getattr(m, name) for m in messages] for name in names}
    batch = _batch(
        FEEDBACK_TABLE,
        place,
        _offsets(records)[index],
        **_of_table(FEEDBACK_TABLE, columns),
    )
    return Rows(batch, len(errors), reason=str(errors[0]) if errors else "")


def _bars(place: Place, records: Sequence[Message], _: Ints, __: InputRules) -> Rows:
    bars, rejections = decode_closed_bars([record.value() for record in records])
    batch = _batch(
        BARS_TABLE,
        place,
        _offsets(records)[bars.index],
        **_of_table(BARS_TABLE, bars.columns),
    )
    return Rows(batch, len(rejections), reason=rejections[0].reason if rejections else "")


_ROWS: Final[Mapping[str, Callable[[Place, Sequence[Message], Ints, InputRules], Rows]]] = {
    QUOTES_TABLE.name: _quotes,
    INTERACTIONS_TABLE.name: _interactions,
    FEEDBACK_TABLE.name: _feedback,
    BARS_TABLE.name: _bars,
}


def _each(
    decode: Callable[[Message, int], T], records: Sequence[Message], clock_ms: Ints
) -> tuple[Ints, list[T], list[ValueError]]:
    """Return the places of the good records, what they are, and the errors of the others."""
    index, messages, errors = [], [], []
    for place, (record, now_ms) in enumerate(zip(records, clock_ms.tolist(), strict=True)):
        try:
            message = decode(record, now_ms)
        except ValueError as error:
            errors.append(error)
            continue
        index.append(place)
        messages.append(message)
    return np.array(index, np.int64), messages, errors


def _batch(table: ArchiveTable, place: Place, offsets: Ints, **columns: Any) -> pa.RecordBatch:
    schema = arrow_schema_of(table)
    n = len(offsets)
    columns |= {
        "log": np.full(n, place.log, np.int32),
        "partition": np.full(n, place.partition, np.int32),
        "offset": offsets,
    }
    # NumPy has no null: it is NaN in a column of floats.
    return pa.record_batch(
        [pa.array(columns[field.name], field.type, from_pandas=True) for field in schema],
        schema=schema,
    )


def _of_table(table: ArchiveTable, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table's columns but for the place in the log; those with times are in epoch ms."""
    found = {one.name: columns[one.name] for one in table.columns if one.name not in PLACE}
    times = [one.name for one in table.columns if one.type == "timestamptz"]
    return found | {name: np.asarray(found[name], np.int64) * US_PER_MS for name in times}


def _times_us(times_ms: Iterable[int | None]) -> list[int | None]:
    # Later ones, which a tombstone may have, are no dates.
    return [None if ms is None else min(ms, MAX_TS_MS) * US_PER_MS for ms in times_ms]


def _offsets(records: Sequence[Message]) -> Ints:
    return np.fromiter((record.offset() or 0 for record in records), np.int64, len(records))
