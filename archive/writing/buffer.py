"""The rows of a table that were read and are not committed yet, by partition. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from runtime.archive.positions import Moved, Position


@dataclass(slots=True)
class _Span:
    before: Position | None
    start: int
    after: Position
    batches: list[pa.RecordBatch] = field(default_factory=list)
    sure: tuple[int, Position] | None = None
    """how many batches, and the position after them, were of this log for certain"""


class Taken(NamedTuple):
    """What one commit is to write."""

    moved: Mapping[int, Moved]
    rows: pa.Table
    batches: Mapping[int, int]
    """partition -> how many of its batches"""


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
        """Begin a partition, or begin it anew without what was read of it.

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
        span.after = Position(span.after.topic_id, span.after.log, next_offset)

    def note_sure(self) -> None:
        """Note that all that was read until now was of the log that it was taken for."""
        for span in self._spans.values():
            span.sure = len(span.batches), span.after

    def drop_unsure(self) -> int:
        """Drop what was read since the last note; return how many records that were, at most."""
        dropped = 0
        for span in self._spans.values():
            n, after = span.sure or (0, Position(span.after.topic_id, span.after.log, span.start))
            dropped += span.after.next - after.next
            del span.batches[n:]
            span.after = after
        return dropped

    def take(self) -> Taken:
        """Return what is to be committed now; it stays here until `committed`."""
        spans = {p: span for p, span in self._spans.items() if span.before != span.after}
        batches = [batch for span in spans.values() for batch in span.batches]
        return Taken(
            moved={p: Moved(span.before, span.start, span.after) for p, span in spans.items()},
            rows=pa.Table.from_batches(batches, self._schema),
            batches={p: len(span.batches) for p, span in spans.items()},
        )

    def committed(self, taken: Taken) -> None:
        """Let go of what was committed."""
        for partition, moved in taken.moved.items():
            span = self._spans.get(partition)
            # It may have been given to somebody else, or begun anew, while it was written.
            if span is None or span.before != moved.before or span.start != moved.start:
                continue
            n = taken.batches[partition]
            del span.batches[:n]
            span.before, span.start = moved.after, moved.after.next
            if span.sure is not None:
                span.sure = max(span.sure[0] - n, 0), span.sure[1]
