"""What a partition asks of a fold: bars, histories, counts and the catalog are one each."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from contracts.messages import Rejection
from stream_processors.store.chunks import Groups
from stream_processors.store.marks import Applied
from stream_processors.transport.batches import RecordBatch


class Unwritten(NamedTuple):
    """What memory has and Redis lacks."""

    groups: Groups
    sources: Mapping[int, Applied] | None = None
    """of counts: source partition -> up to where its changes are in Redis with the groups"""
    channel: str = ""
    """on which the groups' `published` rows are published, if on any"""
    closed_s: int | None = None
    """of bars: start of the newest minute, epoch s, whose bars the topic of closed ones has"""


class Fold(Protocol):
    """What becomes of a partition's records, in memory until it is written.

    A partition calls one of these at a time, and never again once one of them has raised.
    """

    @property
    def records_at_once(self) -> int:
        """How many records `take` may be given at once, so that memory stays bounded."""

    @property
    def is_full(self) -> bool:
        """Whether so much is unwritten that it must be written before more is taken."""

    @property
    def is_due(self) -> bool:
        """Whether there is something to write though no record has come."""

    async def take(self, batch: RecordBatch) -> Sequence[Rejection]:
        """Fold a batch in; return which of its records break a rule."""

    async def unwritten(self) -> Unwritten:
        """Return what Redis lacks; it is written next, and the position after it."""

    def written(self) -> None:
        """Take note that all of it is in Redis."""


def misplaced(place: int, partition: int, what: str) -> Rejection:
    """Return the rejection of a record whose key belongs to another partition."""
    return Rejection(
        place,
        f"{what} does not belong to partition {partition}: produce with the key in ASCII or UTF-8 "
        "and the partitioner murmur2 (librdkafka: partitioner=murmur2)",
    )
