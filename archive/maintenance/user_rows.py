"""The rows of users in the archive's tables, and which of them tombstones erase.

Clients' times may be ahead by `MAX_AHEAD_MS`. Where only the time says whether something is from
before an erasure, what is up to that much later is erased as well.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyiceberg.expressions import BooleanExpression, EqualTo, In, Reference
from pyiceberg.expressions.literals import literal
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from contracts.archive import ERASED, INTERACTIONS_TABLE, PLACE, ArchiveTable
from contracts.messages import MAX_AHEAD_MS
from contracts.tombstones import Tombstone
from runtime.archive.data_files import filesystem_of, path_of
from runtime.archive.tables import arrow_schema_of

AHEAD_US: Final = MAX_AHEAD_MS * 1_000


class RecordPlace(NamedTuple):
    """Of a record: the columns `contracts.archive.PLACE`."""

    log: int
    partition: int
    offset: int


class Event(NamedTuple):
    """What a user did."""

    user_id: str
    place: RecordPlace
    ts_us: int


class TombstoneRow(NamedTuple):
    """That a user was taken out."""

    user_id: str
    place: RecordPlace
    ts_us: int
    """when the broker took it"""
    last_event_before_us: int | None = None
    """if it is set: only a user whose last event is older"""
    erased_at_us: int | None = None
    """when the erasure was requested, if the record says so"""

    def leaves_out_before_us(self, last_event_us: int) -> int:
        """Return before which time events that come after it go, as `contracts.tombstones` has it.

        Args:
            last_event_us: of the user before it, -1 if there is none.
        """
        # The rule is the same in any unit, and knows no time but those that it is given.
        rule = Tombstone(self.user_id, self.last_event_before_us, self.erased_at_us)
        return rule.leaves_out_before_ms(last_event_us)


class TakenOut(NamedTuple):
    """What tombstones take out."""

    places: frozenset[RecordPlace]
    """of events"""
    until_us: Mapping[str, int]
    """user -> feedback from before that is taken out"""


def taken_out(events: Iterable[Event], tombstones: Iterable[TombstoneRow]) -> TakenOut:
    """Return what tombstones erase from the events, as the fold does from a history.

    An event after an erasure that is older than it, or no later than what came before it, was
    resent or late: it is erased, too, the latter only while what came before is still there to
    compare with. A user who was only inactive for long may return with any event.
    """
    of_user: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        of_user[event.user_id].append(event)
    places: set[RecordPlace] = set()
    until_us: dict[str, int] = {}
    for tombstone in sorted(tombstones, key=lambda t: (t.place.log, t.ts_us, t.place.offset)):
        left = of_user[tombstone.user_id]
        before = [event for event in left if is_before(event, tombstone)]
        bound_us = tombstone.last_event_before_us
        if bound_us is not None and any(event.ts_us >= bound_us for event in before):
            continue
        last_us = max((event.ts_us for event in before), default=-1)
        from_us = tombstone.leaves_out_before_us(last_us)
        stays = [e for e in left if not is_before(e, tombstone) and e.ts_us >= from_us]
        places.update({event.place for event in left} - {event.place for event in stays})
        of_user[tombstone.user_id] = stays
        end_us = tombstone.ts_us + AHEAD_US
        until_us[tombstone.user_id] = max(until_us.get(tombstone.user_id, end_us), end_us)
    return TakenOut(frozenset(places), until_us)


def is_before(event: Event, tombstone: TombstoneRow) -> bool:
    """Whether an event is from before its user was erased.

    The log decides. If a topic was recreated with another number of partitions, the user may be in
    another one: then the time decides.
    """
    a, b = event.place, tombstone.place
    if a.partition == b.partition:
        return (a.log, a.offset) < (b.log, b.offset)
    return event.ts_us < tombstone.ts_us + AHEAD_US


_TOMBSTONE_TIMES: Final = ("last_event_before", "erased_at")

# What it makes of one value is no `In`, which each type checker rejects in its own way.
_is_in: Callable[..., BooleanExpression] = In


def read_tombstones(found: Table) -> Iterator[TombstoneRow]:
    """Yield the tombstones in the table of interactions."""
    columns = ("user_id", *PLACE, "ts", *_TOMBSTONE_TIMES)
    rows = found.scan(
        row_filter=EqualTo(term=Reference("event"), value=literal(ERASED)), selected_fields=columns
    ).to_arrow()
    times_us = [rows[name].cast(pa.int64()).to_pylist() for name in _TOMBSTONE_TIMES]
    for event, *of_each in zip(_as_events(rows), *times_us, strict=True):
        yield TombstoneRow(*event, *of_each)


def read_events(found: Table, files: Iterable[DataFile], users: Collection[str]) -> Iterator[Event]:
    """Yield the users' events in some files of the table of interactions."""
    for file in files:
        for rows in rows_of(found, file, users, INTERACTIONS_TABLE):
            yield from _as_events(rows.filter(pc.field("event") != ERASED))


def _as_events(rows: pa.Table) -> Iterator[Event]:
    users, ts_us = rows["user_id"].to_pylist(), column_us(rows, "ts").tolist()
    return itertools.starmap(Event, zip(users, _places(rows), ts_us, strict=True))


def files_with(
    found: Table, users: Collection[str], snapshot_id: int | None = None
) -> Iterator[DataFile]:
    """Yield a snapshot's files that may have rows of users, by their least and greatest ids."""
    theirs = _is_in(Reference("user_id"), {literal(user) for user in users})
    for task in found.scan(row_filter=theirs, snapshot_id=snapshot_id).plan_files():
        yield task.file


def rows_of(
    found: Table, file: DataFile, users: Collection[str], table: ArchiveTable
) -> Iterator[pa.Table]:
    """Yield the rows of users in a file."""
    dataset = ds.dataset(
        path_of(file.file_path),
        schema=arrow_schema_of(table),
        format="parquet",
        filesystem=filesystem_of(found),
    )
    theirs = pc.field("user_id").isin(pa.array(users, pa.string()))
    for batch in dataset.to_batches(filter=theirs):
        if batch.num_rows:
            yield pa.Table.from_batches([batch])


def _places(rows: pa.Table) -> Iterator[RecordPlace]:
    columns: list[list[Any]] = [rows[name].to_pylist() for name in PLACE]
    return itertools.starmap(RecordPlace, zip(*columns, strict=True))


def are_at(rows: pa.Table, places: Collection[RecordPlace]) -> npt.NDArray[np.bool_]:
    """Return which rows are of the records at some places, (n,)."""
    return np.fromiter((place in places for place in _places(rows)), np.bool_, rows.num_rows)


def column_us(rows: pa.Table, column: str) -> npt.NDArray[np.int64]:
    """Return a column of times, epoch us, (n,)."""
    us: npt.NDArray[np.int64] = rows[column].cast(pa.int64()).to_numpy()
    return us
