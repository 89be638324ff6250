"""The uncommitted rows of a table, by partition. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pyarrow as pa
from msgspec.structs import replace as moved_to

from runtime.archive.positions import Moved, Position


@dataclass(slots=True)
class _Span:
    before: Position | None
    start: int
    after: Position
    batches: list[pa.RecordBatch] = field(default_factory=list)
    confirmed: tuple[int, Position] | None = None
    """how many batches, and the position after them, were certainly of this log"""


class Taken(NamedTuple):
    """What one commit is to write."""

    moved: Mapping[int, Moved]
    rows: pa.Table
    batches: Mapping[int, int]
    """partition -> how many of its batches"""
    lives: Mapping[int, object]
    """partition -> a token of its being read without a restart"""


class Buffer:
    """The rows of one table."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._spans: dict[int, _Span] = {}

    @property
    def nbytes(self) -> int:
        """How many bytes the rows take."""
        return sum(batch.nbytes for span in self._spans.values() for batch in span.batches)

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that are read."""
        return frozenset(self._spans)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return all(span.before == span.after for span in self._spans.values())

    def begin(self, partition: int, before: Position | None, at: Position) -> None:
        """Begin a partition, or restart it without what was read of it.

        Args:
            partition: which one.
            before: the table's position.
            at: where it is read from.
        """
        self._spans[partition] = _Span(before, at.next, at)

    def drop(self, partition: int) -> None:
        """Forget a partition, and what was read of it."""
        self._spans.pop(partition, None)

    def position(self, partition: int) -> Position | None:
        """Return up to where a partition was read; None if it is not."""
        span = self._spans.get(partition)
        return None if span is None else span.after

    def add(self, partition: int, batch: pa.RecordBatch, next_offset: int) -> None:
        """Add the rows of records, whose last one is before `next_offset`."""
        span = self._spans[partition]
        if batch.num_rows:
            span.batches.append(batch)
        span.after = moved_to(span.after, next=next_offset)

    def note_count(self, partition: int, partitions: int) -> Position:
        """Note that the topic has another number of partitions now; return the position."""
        span = self._spans[partition]
        span.after = moved_to(span.after, counts=(*span.after.counts, partitions))
        return span.after

    def confirm(self) -> None:
        """Note that all that was read until now was of the expected log."""
        for span in self._spans.values():
            span.confirmed = len(span.batches), span.after

    def drop_unconfirmed(self) -> int:
        """Drop what was read since the last note; return how many records that were, at most."""
        dropped = 0
        for partition, span in self._spans.items():
            n, after = span.confirmed or (0, moved_to(span.after, next=span.start))
            if after != span.after:
                dropped += span.after.next - after.next
                self._spans[partition] = replace(span, batches=span.batches[:n], after=after)
        return dropped

    def take(self, rows_most: Mapping[int, int] | None = None) -> Taken:
        """Return what is to be committed now; it stays here until `committed`.

        Args:
            rows_most: partition -> of how many of its first rows; of all where none is named.
        """
        spans = {p: span for p, span in self._spans.items() if span.before != span.after}
        ends = {p: (len(span.batches), span.after) for p, span in spans.items()}
        for p, rows in (rows_most or {}).items():
            ends[p] = _split(spans[p], rows)
        batches = [batch for p, span in spans.items() for batch in span.batches[: ends[p][0]]]
        return Taken(
            moved={p: Moved(span.before, span.start, ends[p][1]) for p, span in spans.items()},
            rows=pa.Table.from_batches(batches, self._schema),
            batches={p: n for p, (n, _) in ends.items()},
            lives=spans,
        )

    def committed(self, taken: Taken) -> None:
        """Drop what was committed."""
        for partition, moved in taken.moved.items():
            span = self._spans.get(partition)
            # While it was written, it may have been reassigned, restarted, or doubted.
            # Its next commit is then refused, and it is resumed from the table.
            if span is None or span is not taken.lives[partition] or span.before != moved.before:
                continue
            n = taken.batches[partition]
            del span.batches[:n]
            span.before, span.start = moved.after, moved.after.next
            if span.confirmed is not None:
                n_confirmed, up_to = span.confirmed
                # Nothing goes back beyond a commit.
                span.confirmed = (
                    max(n_confirmed - n, 0),
                    max(moved.after, up_to, key=lambda at: at.next),
                )


def _split(span: _Span, rows: int) -> tuple[int, Position]:
    """Let a batch of a span end after so many rows.

    Returns how many batches those are, and the position after them: that of the row that follows.
    """
    before = 0
    for n, batch in enumerate(span.batches):
        here = rows - before
        if here < batch.num_rows:
            after = moved_to(span.after, next=batch["offset"][here].as_py())
            if not here:
                return n, after
            span.batches[n : n + 1] = [batch.slice(0, here), batch.slice(here)]
            if span.confirmed is not None and span.confirmed[0] > n:
                span.confirmed = span.confirmed[0] + 1, span.confirmed[1]
            return n + 1, after
        before += batch.num_rows
    return len(span.batches), span.after
