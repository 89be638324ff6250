"""Rejects records that are in another partition than that of their key, and finds that partition.

Readers look for an instrument or a user in one partition. Elsewhere, a record would be another
instrument's or user's, of whom nobody reads.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import compress
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints, Rejection
from contracts.partitioning import instrument_partitions, user_partition
from stream_processors.ids import Growable, IdIndex

# Some 20 bytes each. Above this, the cache starts empty again.
_ITEMS_AT_MOST: Final = 500_000


class ItemPartitions:
    """A cache of the partitions that items, or instruments, belong to."""

    def __init__(self, n: int) -> None:
        """Take the number of partitions."""
        self.n = n
        self._clear()

    def of(self, items: Ints) -> npt.NDArray[np.int16]:
        """Return the partition of each item, (n,): 16 bits, which NumPy sorts fastest."""
        if len(self._index) > _ITEMS_AT_MOST:
            self._clear()
        rows = self._index.add_unknown(items)
        if more := len(self._index) - len(self._partition):
            new = self._index.ids[-more:]
            self._partition.grow(more)[:] = instrument_partitions(new, self.n)
        partition: npt.NDArray[np.int16] = self._partition.values[rows]
        return partition

    def _clear(self) -> None:
        self._index = IdIndex()
        self._partition = Growable(np.empty(0, np.int16))


# Some 150 bytes each.
_USERS_KEPT: Final = 100_000

Bools = npt.NDArray[np.bool_]


class Placement:
    """The partitions of a topic; remembers those of ids, so that few are computed twice."""

    def __init__(self, partitions: int) -> None:
        """Take how many there are."""
        self._of_instruments = ItemPartitions(partitions)

        @lru_cache(_USERS_KEPT)
        def of_user(user_id: str) -> int:
            return user_partition(user_id, partitions)

        self._of_user = of_user

    def of_instruments(
        self, partition: int, index: Ints, instrument_id: Ints
    ) -> tuple[Bools, list[Rejection]]:
        """Return which records are in place, (n,), and a rejection of each of the others.

        Args:
            partition: that the records are in.
            index: (n,) in their batch.
            instrument_id: (n,)
        """
        is_here: Bools = self._of_instruments.of(instrument_id) == partition
        if is_here.all():
            return is_here, []
        elsewhere = zip(index[~is_here].tolist(), instrument_id[~is_here].tolist(), strict=True)
        return is_here, _rejections(partition, "instrument_id", elsewhere)

    def of_users(
        self, partition: int, index: Sequence[int], user_id: Sequence[str]
    ) -> tuple[Bools, list[Rejection]]:
        """As `of_instruments`, for the records of users."""
        of_each = np.fromiter(map(self._of_user, user_id), np.int64, len(user_id))
        is_here = of_each == partition
        if is_here.all():
            return is_here, []
        is_elsewhere = (~is_here).tolist()
        elsewhere = zip(compress(index, is_elsewhere), compress(user_id, is_elsewhere), strict=True)
        return is_here, _rejections(partition, "user_id", elsewhere)


def _rejections(
    partition: int, field: str, records: Iterable[tuple[int, int | str]]
) -> list[Rejection]:
    return [
        Rejection(
            place,
            f"{field} {key!r} does not belong to partition {partition}: produce with the key in "
            "ASCII or UTF-8 and the partitioner murmur2 (librdkafka: partitioner=murmur2)",
        )
        for place, key in records
    ]
