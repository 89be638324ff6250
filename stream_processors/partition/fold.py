"""The interface of folds: bars, histories, counts and the catalog."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from contracts.messages import Rejection
from stream_processors.store.chunks import Groups
from stream_processors.store.marks import Applied
from stream_processors.transport.batches import RecordBatch


class Unwritten(NamedTuple):
    """What is in memory and not yet in Redis."""

    groups: Groups
    sources: Mapping[int, Applied] | None = None
    """of counts: source partition -> up to where its changes are in Redis once the groups are
    written"""
    channel: str = ""
    """the channel for the groups' `published` rows, if any"""
    closed_s: int | None = None
    """of bars: start of the newest minute, epoch s, whose bars are in the topic of closed bars"""


class Fold(Protocol):
    """Folds a partition's records, in memory until the result is written.

    A partition calls one method at a time, and none after one has raised.
    """

    @property
    def records_at_once(self) -> int:
        """The maximum number of records per `take`, so that memory stays bounded."""

    @property
    def is_full(self) -> bool:
        """Whether so much is unwritten that it must be flushed before taking more."""

    @property
    def is_due(self) -> bool:
        """Whether there is something to write even though no record arrived."""

    async def take(self, batch: RecordBatch) -> Sequence[Rejection]:
        """Fold a batch; return its rejected records."""

    async def unwritten(self) -> Unwritten:
        """Return what Redis does not have yet; it is written next, followed by the position."""

    def written(self) -> None:
        """Note that all of it is in Redis."""


def misplaced(place: int, partition: int, what: str) -> Rejection:
    """Return the rejection of a record whose key belongs to another partition."""
    return Rejection(
        place,
        f"{what} does not belong to partition {partition}: produce with the key in ASCII or UTF-8 "
        "and the partitioner murmur2 (librdkafka: partitioner=murmur2)",
    )
