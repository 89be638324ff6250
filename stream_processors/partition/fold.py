"""The interface of folds, and those of a partition as one."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from itertools import chain
from typing import Generic, Protocol, TypeVar

from contracts.messages import Rejection
from stream_processors.store.chunks import Channel, Group, Groups, Unwritten, each_part
from stream_processors.transport.batches import RecordBatch

Records_contra = TypeVar("Records_contra", contravariant=True)


class Fold(Protocol[Records_contra]):
    """Folds a partition's valid records, in memory until the result is written.

    A partition calls one method at a time, and none after one has raised.
    """

    def begun(self) -> Unwritten:
        """Return what is written with the claim, before the first record."""
        return Unwritten()

    @property
    def records_at_once(self) -> int:
        """The maximum number of records per `take`, so that memory stays bounded."""

    @property
    def is_full(self) -> bool:
        """Whether so much is unwritten that it must be flushed before taking more."""

    @property
    def is_due(self) -> bool:
        """Whether there is something to write even though no record arrived."""
        return False

    async def take(self, records: Records_contra, /) -> None:
        """Fold the records of a batch, as `stream_processors.decoding` returns them."""

    async def unwritten(self) -> Unwritten:
        """Return changes not in Redis yet; they are written next, followed by the position."""

    def written(self) -> None:
        """Note that all of it is in Redis."""
        return


Records = TypeVar("Records")


class Folds(Generic[Records]):
    """The folds of a partition's records, which are decoded once for all of them.

    They are written in their order, and at the same time.
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
        """The smallest limit of the folds."""
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
        """Return the writes of all folds at a claim, joined.

        Raises:
            ValueError: two of them have a field of one name, or both publish.
        """
        return _joined([fold.begun() for fold in self._folds])

    async def take(self, batch: RecordBatch) -> Sequence[Rejection]:
        """Decode the records, have each fold take them, and return the invalid ones, in order."""
        records, rejections = self._decode(batch)
        for fold in self._folds:
            await fold.take(records)
        return sorted(rejections)

    async def unwritten(self) -> Unwritten:
        """Return the unwritten changes of all folds, joined."""
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
