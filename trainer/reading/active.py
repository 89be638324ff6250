"""Which users were active last."""

from collections.abc import Iterator
from heapq import merge
from itertools import islice, takewhile
from math import inf
from typing import Any, Final

from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from trainer.reading.pipelines import named

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
