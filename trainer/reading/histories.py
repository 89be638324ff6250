"""Reads the histories of the most recently active users, each with the offset that it stands at."""

from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice, takewhile
from math import inf
from typing import Any, Final

import numpy as np

from contracts.keyspace import Keyspace
from contracts.log_position import LogPosition
from contracts.messages import Floats, Ints
from runtime.redis.stores import Store
from trainer.counts.blocks import Growing
from trainer.counts.matrices import Indices, UserItems, csr
from trainer.reading.hashes import Hashes
from trainer.reading.history_hashes import ParsedHistories, parse_histories
from trainer.reading.pipelines import Quarantine, named
from trainer.stages import Stages

_USERS_PER_PAGE: Final = 2_000
"""One page of a partition's users takes Redis a millisecond."""


def latest_users(
    store: Store, keyspace: Keyspace, partitions: int, users: int
) -> tuple[list[str], list[int]]:
    """Return id and partition of the users with the latest events; ties by descending id.

    Raises:
        CorruptValueError: a key that should hold users holds something else.
    """
    names: list[str] = []
    partition_of: list[int] = []
    for _, user, partition in islice(by_time(store, keyspace, partitions, users), users):
        names.append(user)
        partition_of.append(partition)
    return names, partition_of


def by_time(
    store: Store, keyspace: Keyspace, partitions: int, users: int, since_ms: float = -inf
) -> Iterator[tuple[float, str, int]]:
    """Yield time of the last event, id and partition of users, latest first, as they are asked for.

    Args:
        store: where they are.
        keyspace: names their keys.
        partitions: of `interactions`.
        users: of each partition, at most.
        since_ms: only those with an event after it.

    Raises:
        CorruptValueError: a key that should hold users holds something else.
    """
    of_each = (_active(store, keyspace.active(p), p, users) for p in range(partitions))
    return takewhile(lambda active: active[0] > since_ms, merge(*of_each, reverse=True))


def _active(store: Store, key: str, partition: int, users: int) -> Iterator[tuple[float, str, int]]:
    """Yield time of the last event, id and partition of a partition's users, latest first.

    A user who becomes active during the read shifts the others down by one, so a user may come
    twice; the second time is skipped.
    """
    last = None
    for start in range(0, users, _USERS_PER_PAGE):
        with named(key):
            page: Any = store.zrevrange(key, start, start + _USERS_PER_PAGE - 1, withscores=True)
        for user, last_ms in page:
            if last is None or (last_ms, user) < last:
                last = (last_ms, user)
                yield last_ms, user, partition
        if len(page) < _USERS_PER_PAGE:
            return


_AT_ONCE: Final = 1_000_000
"""Item numbers that are replaced by their columns at once, so that few are in memory twice."""


def read_user_items(
    store: Store, keyspace: Keyspace, partitions: int, users: int, stages: Stages
) -> UserItems:
    """Return what the `users` latest active users have, latest first.

    Users whose history is gone or corrupt are left out.

    Raises:
        CorruptValueError: more than a few histories are corrupt.
        redis.exceptions.RedisError: Redis is unreachable.
    """
    names, partition_of = latest_users(store, keyspace, partitions, users)

    def key_of(row: int) -> str:
        return keyspace.history(partition_of[row], names[row])

    collected, quarantine = Collected(), Quarantine()
    for histories in read_histories(
        store, len(names), key_of, quarantine, stages, "read histories"
    ):
        quarantine.check(len(names))
        collected.add([names[row] for row in histories.offsets], histories)
    return collected.user_items(quarantine)


def read_histories(
    store: Store,
    n: int,
    key_of: Callable[[int], str],
    quarantine: Quarantine,
    stages: Stages,
    title: str,
) -> Iterator[ParsedHistories]:
    """Yield n histories, block by block.

    Args:
        store: where they are.
        n: how many.
        key_of: names the key of each by its number.
        quarantine: gets those that are not as the workers write them, which are left out.
        stages: of the run that it is part of.
        title: of the progress.

    Raises:
        redis.exceptions.RedisError: Redis is unreachable.
    """
    for block in Hashes(store, n, key_of).read(stages, title):
        histories = parse_histories(block.parts, range(block.start, block.stop))
        for row, problem in sorted((block.wrong_type | histories.corrupt).items()):
            quarantine.add(key_of(row), problem)
        yield histories


class Collected:
    """Histories so far."""

    def __init__(self) -> None:
        self._users: list[str] = []
        self._offsets: list[LogPosition] = []
        self._numbering = Numbering()
        self._lengths, self._numbers = Growing(np.int64), Growing(np.int32)
        self._affinities = Growing(np.float64)
        self._ts_ms, self._first_ms = Growing(np.int64), Growing(np.int64)
        self._unscaled: Growing | None = None
        """not until a user has a scale"""

    def add(self, users: list[str], histories: ParsedHistories) -> None:
        """Append histories and whose they are."""
        self._users += users
        self._offsets += histories.offsets.values()
        self._lengths.extend(histories.lengths)
        ids, which = np.unique(histories.items, return_inverse=True)
        self._numbers.extend(self._numbering.of(ids)[which])
        if self._unscaled is None and (histories.unscaled != histories.affinities).any():
            self._unscaled = Growing(np.float64)
            self._unscaled.extend(self._affinities.so_far())
        self._affinities.extend(histories.affinities)
        self._ts_ms.extend(histories.ts_ms)
        self._first_ms.extend(histories.first_ms)
        if self._unscaled is not None:
            self._unscaled.extend(histories.unscaled)

    def user_items(self, quarantine: Quarantine) -> UserItems:
        """Return all of them, and what was left out."""
        items, affinities = self._numbering.ids, self._affinities.whole()
        columns, places = self._numbers.whole(), self._numbering.places()
        for start in range(0, len(columns), _AT_ONCE):
            some: Indices = columns[start : start + _AT_ONCE]
            some[:] = places[some]
        unscaled: Floats = affinities if self._unscaled is None else self._unscaled.whole()
        return UserItems(
            users=self._users,
            offsets=self._offsets,
            items=items,
            affinities=csr(affinities, columns, self._lengths.whole(), len(items)),
            unscaled=unscaled,
            ts_ms=self._ts_ms.whole(),
            first_ms=self._first_ms.whole(),
            corrupt=quarantine.shown,
            n_corrupt=quarantine.n,
        )


class Numbering:
    """Numbers ids in order of appearance, 4 bytes each, and maps them to sorted places.

    >>> numbering = Numbering()
    >>> numbering.of(np.array([7, 9])).tolist(), numbering.of(np.array([3, 9])).tolist()
    ([0, 1], [2, 1])
    >>> numbering.ids.tolist(), numbering.places().tolist()
    ([3, 7, 9], [1, 2, 0])
    """

    def __init__(self) -> None:
        self.ids: Ints = np.empty(0, np.int64)
        """(n_ids,) all that turned up, ascending"""
        self._numbers: Indices = np.empty(0, np.int32)

    def of(self, ids: Ints) -> Indices:
        """Return the number of each of some ids that are ascending and distinct."""
        places = np.searchsorted(self.ids, ids)
        new = np.append(self.ids, -1)[places] != ids
        numbers = np.arange(len(self.ids), len(self.ids) + int(new.sum()), dtype=np.int32)
        self.ids = np.insert(self.ids, places[new], ids[new])
        self._numbers = np.insert(self._numbers, places[new], numbers)
        found: Indices = self._numbers[np.searchsorted(self.ids, ids)]
        return found

    def places(self) -> Indices:
        """Return (n_ids,) number -> place in `ids`."""
        places = np.empty(len(self.ids), np.int32)
        places[self._numbers] = np.arange(len(self.ids), dtype=np.int32)
        return places
