"""The interface of folds, and several of them as one."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence, Set
from itertools import chain
from typing import Generic, Protocol, Self, TypeVar

from contracts.messages import Rejection
from stream_processors.store.chunks import Channel, Group, Groups, Unwritten, each_part
from stream_processors.transport.batches import RecordBatch

Records_contra = TypeVar("Records_contra", contravariant=True)


class Fold(Protocol[Records_contra]):
    """Folds a partition's records, in memory until the result is written.

    It takes them as fetched or, if its topic has several folds, as `Folds` decoded them.

    A partition calls one method at a time, and none after one has raised.
    """

    def begun(self) -> Unwritten:
        """Return what is written with the claim, before the first record."""

    @property
    def records_at_once(self) -> int:
        """The maximum number of records per `take`, so that memory stays bounded."""

    @property
    def is_full(self) -> bool:
        """Whether so much is unwritten that it must be flushed before taking more."""

    @property
    def is_due(self) -> bool:
        """Whether there is something to write even though no record arrived."""

    async def take(self, records: Records_contra, /) -> Sequence[Rejection]:
        """Fold the records of a batch; return the rejected ones."""

    async def unwritten(self) -> Unwritten:
        """Return what Redis does not have yet; it is written next, followed by the position."""

    def written(self) -> None:
        """Note that all of it is in Redis."""


class Decoded(Protocol):
    """The valid records of a batch."""

    def without(self, places: Set[int], /) -> Self:
        """Return the others than these, given by their index in the batch."""


Records = TypeVar("Records", bound=Decoded)


class Folds(Generic[Records]):
    """Several folds of the same records, as one.

    A record that one of them rejects does not reach those after it. They are written in their
    order, and at the same time.
    """

    def __init__(
        self,
        decode: Callable[[RecordBatch], tuple[Records, list[Rejection]]],
        folds: Sequence[Fold[Records]],
    ) -> None:
        self._decode = decode
        self._folds = folds

    @property
    def records_at_once(self) -> int:
        """As the fold that takes the fewest."""
        return min(fold.records_at_once for fold in self._folds)

    @property
    def is_full(self) -> bool:
        """Whether one of them is."""
        return any(fold.is_full for fold in self._folds)

    @property
    def is_due(self) -> bool:
        """Whether one of them is."""
        return any(fold.is_due for fold in self._folds)

    def begun(self) -> Unwritten:
        """Return what all of them write with the claim.

        Raises:
            ValueError: two of them have a field of one name, or both publish.
        """
        return _joined([fold.begun() for fold in self._folds])

    async def take(self, batch: RecordBatch) -> Sequence[Rejection]:
        """Decode the records once, and have each fold take them."""
        records, rejections = self._decode(batch)
        for fold in self._folds:
            rejected = await fold.take(records)
            if rejected:
                rejections += rejected
                records = records.without({place for place, _ in rejected})
        return rejections

    async def unwritten(self) -> Unwritten:
        """Return what all of them have unwritten."""
        return _joined([await fold.unwritten() for fold in self._folds])

    def written(self) -> None:
        """Note that all of it is in Redis."""
        for fold in self._folds:
            fold.written()


def _joined(every: Sequence[Unwritten]) -> Unwritten:
    fields: dict[str, str] = {}
    channel: Channel | None = None
    for one in every:
        if twice := fields.keys() & one.fields.keys():
            raise ValueError(f"two folds have a field {', '.join(sorted(twice))}")
        if channel and one.channel:
            raise ValueError(f"two folds publish: on {channel.name} and on {one.channel.name}")
        fields.update(one.fields)
        channel = channel or one.channel
    return Unwritten(_all([one.groups for one in every]), fields, channel)


def _all(parts: Sequence[Groups]) -> Groups:
    at_once = [part for part in parts if not isinstance(part, AsyncIterable)]
    return chain.from_iterable(at_once) if len(at_once) == len(parts) else _in_turn(parts)


async def _in_turn(parts: Sequence[Groups]) -> AsyncIterator[Iterable[Group]]:
    for part in parts:
        async for some in each_part(part):
            yield some


def misplaced(place: int, partition: int, what: str) -> Rejection:
    """Return the rejection of a record whose key belongs to another partition."""
    return Rejection(
        place,
        f"{what} does not belong to partition {partition}: produce with the key in ASCII or UTF-8 "
        "and the partitioner murmur2 (librdkafka: partitioner=murmur2)",
    )
