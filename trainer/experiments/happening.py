"""Reads what happened while a generation was served: `trainer.judging.happened`.

Users are drawn by a hash from those who were active since, each with what they had when the
generation was made. They need not be named then: histories tell since when a user has an item. So
nothing is kept of anyone, and an erased user is not among them.
"""

import heapq
from hashlib import blake2b
from typing import Final

from contracts.figures import Happened
from contracts.generations import Current, Served
from contracts.keyspace import Keyspace
from contracts.variants import served_to
from runtime.redis.stores import Store
from trainer.experiments.behavior import Since, read_users
from trainer.experiments.served_lists import Question, read_lists
from trainer.generations.report import Report
from trainer.judging.happened import happened_of
from trainer.reading import by_time
from trainer.stages import Stages

USERS_MOST: Final = 2_000
USERS_AT_ONCE: Final = 200
LISTS_MOST: Final = 5_000
"""Items whose lists are read, about: fewer users are judged rather than more lists read."""
ACTIVE_MOST: Final = 20_000
"""Of each partition so many users are drawn from, latest active first."""


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
    keys = list(names)
    for start in range(0, len(keys), USERS_AT_ONCE):
        some = {key: names[key] for key in keys[start : start + USERS_AT_ONCE]}
        found = read_users(store, some, since_ms, stages)
        users |= found
        items.update(item for user in found.values() for item in user.before)
        if len(items) > LISTS_MOST:
            break
    if not users:
        return None
    lists = read_lists(store, keyspace, served, users)
    question = Question.of(users, lists)
    predicted = report.held_out.ndcg if report.held_out else None
    return happened_of(question.ndcg(lists), question.ndcg_of_popular(lists), predicted)


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
