"""Reads what happened while a generation was served: `trainer.judging.happened`.

Users are drawn by a hash from those who were active since, each with what they had when the
generation was made. They need not be named then: histories tell since when a user has an item. So
nothing is kept of anyone, and an erased user is not among them.
"""

import heapq
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np

from contracts.figures import Happened
from contracts.generations import Current, Served, UserList
from contracts.keyspace import Keyspace
from contracts.messages import Floats
from contracts.variants import served_to
from runtime.redis.stores import Store
from trainer.experiments.behavior import (
    Lists,
    Since,
    holdout_of,
    matrix_of,
    read_lists,
    read_popular,
    read_users,
    read_values,
    rows_of,
)
from trainer.generations.report import Report
from trainer.judging.happened import happened_of
from trainer.judging.metrics import N, judge, ndcg
from trainer.judging.recommending import (
    continued,
    from_item_lists,
    from_popular,
    from_user_lists,
)
from trainer.reading import by_time
from trainer.stages import Stages

USERS_MOST: Final = 2_000
USERS_AT_ONCE: Final = 200
LISTS_MOST: Final = 5_000
"""Items whose lists are read, about: fewer users are judged rather than more lists read."""
ACTIVE_MOST: Final = 20_000
"""Of each partition so many users are drawn from, latest active first."""

_own: Final = msgspec.json.Decoder(UserList)


def read_happened(
    store: Store,
    keyspace: Keyspace,
    partitions: int,
    current: Current,
    report: Report,
    stages: Stages,
) -> Happened | None:
    """Return how well a generation did; None if nobody took anything new, or it is not served.

    Args:
        store: where histories and lists are.
        keyspace: names them.
        partitions: of `interactions`.
        current: says who is served what.
        report: of the generation.
        stages: of the run that it is part of.

    Raises:
        CorruptValueError: a key that should hold the active users holds something else.
    """
    since_ms, served = report.data.latest_ms, current.variants.get(report.variant)
    # A report of an earlier release does not say up to when it learned.
    if served is None or served.generation != report.generation or not since_ms:
        return None
    users: dict[str, Since] = {}
    items: set[int] = set()
    names = _drawn(store, keyspace, partitions, current, served, since_ms)
    drawn = list(names)
    for start in range(0, len(drawn), USERS_AT_ONCE):
        keys = drawn[start : start + USERS_AT_ONCE]
        found = read_users(store, keys, since_ms, stages)
        users |= {names[key]: user for key, user in found.items()}
        items.update(item for user in found.values() for item in user.before)
        if len(items) > LISTS_MOST:
            break
    if not users:
        return None
    neighbors = read_lists(store, keyspace, served.generation, items)
    own = _read_own(store, keyspace, served.generation, list(users))
    popular = read_popular(store, keyspace, served.generation)
    predicted = report.held_out.ndcg if report.held_out else None
    lists = Lists(neighbors, served.fold_in, popular)
    return happened_of(*_ndcg(users, lists, own), predicted)


def _ndcg(
    users: Mapping[str, Since],
    lists: Lists,
    own: Mapping[str, Mapping[int, float]],
) -> tuple[Floats, Floats]:
    """Return each user's nDCG of what was served, and of the popular list. Pure."""
    known = {item for user in users.values() for item in (*user.before, *user.after)}
    for some in (lists.popular, *own.values(), *lists.neighbors.values()):
        known.update(some)
    items = np.array(sorted(known), np.int64)
    holdout = holdout_of(list(users.values()), items)
    by_all = from_popular(holdout, rows_of([lists.popular], items), N)
    folded = from_item_lists(holdout, matrix_of(lists, items), lists.fold_in, N)
    by_user = from_user_lists(holdout, rows_of([own.get(user, {}) for user in users], items), N)
    # A user without an own list has an empty one here, which what is folded in continues.
    served = continued(continued(by_user, folded), by_all)
    return ndcg(judge(holdout, served)), ndcg(judge(holdout, by_all))


def _drawn(
    store: Store,
    keyspace: Keyspace,
    partitions: int,
    current: Current,
    served: Served,
    since_ms: float,
) -> dict[str, str]:
    """Return users whom the generation is served to, by their histories' keys, in a drawn order."""

    def draw(user: str) -> bytes:
        return blake2b(f"{served.generation}/{user}".encode(), digest_size=8).digest()

    those = (
        (draw(user), user, keyspace.history(partition, user))
        for _, user, partition in by_time(store, keyspace, partitions, ACTIVE_MOST, since_ms)
        if (shown := served_to(user, current)) and shown[1].generation == served.generation
    )
    return {key: user for _, user, key in heapq.nsmallest(USERS_MOST, those)}


def _read_own(
    store: Store, keyspace: Keyspace, generation: str, users: Sequence[str]
) -> dict[str, dict[int, float]]:
    """Return the lists of users who have one of their own."""
    keys = [keyspace.model_user(generation, user) for user in users]
    own: dict[str, dict[int, float]] = {}
    for user, value in zip(users, read_values(store, keys), strict=True):
        with suppress(ValueError, msgspec.MsgspecError):
            if value is not None:
                own[user] = {int(item.item): item.score for item in _own.decode(value).items}
    return own
