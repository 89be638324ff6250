"""The spans of one partition: a batch, and a flush.

A batch is the result of one fetch, so the cost of its span is negligible. It links to the spans
that published its records; these may come from any number of traces, so it is part of none of them.
A flush writes the results of several batches: it is a child of the last one, and has the links of
all of them.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from faust.types import TP

from runtime.tracing import TRACEPARENT, Attributes, Place, Tracing
from stream_processors.records import Record
from stream_processors.store.chunks import Group, Groups
from stream_processors.transport.batches import RecordBatch

LINKS_MOST: Final = 32
"""Per batch, and per flush: OpenTelemetry keeps 128 per span, and receivers accept that many."""
_HEADERS_READ_MOST: Final = 256
"""Per batch: where few traces are sampled, thousands of records may each be of another trace."""

Counted = Callable[[Groups], Groups]
"""Passes the groups through, and counts them."""


class Unrecorded:
    """The spans of a partition while traces are off."""

    def batch(self, batch: RecordBatch) -> AbstractContextManager[object]:  # noqa: ARG002 (for those that are recorded)
        """Record the block as the span of a batch."""
        return _NOTHING

    def flush(self, records: int) -> AbstractContextManager[Counted]:  # noqa: ARG002
        """Record the block as the span of a flush, which moves the position by `records`."""
        return _UNCOUNTED


class Recorded(Unrecorded):
    """The spans of a partition while traces are on."""

    def __init__(self, tracing: Tracing, tp: TP) -> None:
        self._tracing = tracing
        self._topic = tp.topic
        self._of_partition: Attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": tp.topic,
            "messaging.destination.partition.id": str(tp.partition),
        }
        self._last_batch: Place | None = None
        self._unflushed: dict[bytes, Place] = {}
        """what the next flush links to, by header"""

    @contextmanager
    def batch(self, batch: RecordBatch) -> Iterator[None]:
        """As `Unrecorded.batch`."""
        causes = self._causes(batch)
        for header, place in causes.items():
            if len(self._unflushed) < LINKS_MOST:
                self._unflushed.setdefault(header, place)
        attributes = {
            **self._of_partition,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.batch.message_count": len(batch),
            "tickrec.offset.first": batch.start,
            "tickrec.offset.last": batch.end - 1,
        }
        with self._tracing.span(
            f"process {self._topic}", attributes, consumes=True, links=causes.values()
        ) as place:
            self._last_batch = place
            yield

    @contextmanager
    def flush(self, records: int) -> Iterator[Counted]:
        """As `Unrecorded.flush`."""
        values = 0

        def each(groups: Iterable[Group]) -> Iterator[Group]:
            nonlocal values
            for group in groups:
                values += 1
                yield group

        def counted(groups: Groups) -> Groups:
            if isinstance(groups, AsyncIterable):
                return (each(some) async for some in groups)
            return each(groups)

        links, self._unflushed = [*self._unflushed.values()], {}
        attributes = {**self._of_partition, "tickrec.records": records}
        with self._tracing.span(
            f"flush {self._topic}", attributes, parent=self._last_batch, links=links
        ):
            yield counted
            self._tracing.note({"tickrec.values": values})

    def _causes(self, batch: RecordBatch) -> dict[bytes, Place]:
        """Return the first distinct origins of its records, by header."""
        places: dict[bytes, Place | None] = {}
        n = 0
        for value in _traceparents(batch.records.with_headers()):
            if value not in places:
                places[value] = self._tracing.place(value)
                n += places[value] is not None
                if n == LINKS_MOST or len(places) == _HEADERS_READ_MOST:
                    break
        return {value: place for value, place in places.items() if place is not None}


def _traceparents(records: Iterable[Record]) -> Iterator[bytes]:
    for record in records:
        for name, value in record.headers:
            if name == TRACEPARENT and value is not None:
                yield value


def _as_they_are(groups: Groups) -> Groups:
    return groups


_NOTHING: Final = nullcontext()
_UNCOUNTED: Final[AbstractContextManager[Counted]] = nullcontext(_as_they_are)
UNRECORDED: Final = Unrecorded()
