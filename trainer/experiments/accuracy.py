"""How well a canary's lists and the served ones predicted what users did since the trial began.

Neither generation has learned from it. What users did may follow from what they were shown, and
most were shown the served lists: so it matters who was shown which.
"""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from contracts.generations import DEFAULT_VARIANT, Canary, Current
from contracts.keyspace import Keyspace
from contracts.messages import Floats
from contracts.variants import served_to
from runtime.redis.stores import Store
from trainer.experiments.behavior import Since, read_users
from trainer.experiments.served_lists import Lists, Question, read_lists
from trainer.experiments.verdict import Accuracy
from trainer.reading import by_time
from trainer.stages import Stages

ACTIVE_MOST: Final = 20_000
"""Of each partition so many users, latest active first, are asked which generation they have."""


def read_accuracy(
    store: Store,
    keyspace: Keyspace,
    partitions: int,
    current: Current,
    canary: Canary,
    users_most: int,
    stages: Stages,
) -> Accuracy:
    """Return how well the lists of the served generation and of the canary did.

    Args:
        store: where histories and lists are.
        keyspace: names them.
        partitions: of `interactions`.
        current: says who is shown what.
        canary: the one of `current`.
        users_most: of how many users, latest active first, histories are read; half of them are
            the canary's, if there are so many, and half are shown what is served by default.
        stages: of the run that it is part of.

    Raises:
        CorruptValueError: a key that should hold the active users holds something else.
    """
    served, tried = (
        read_users(store, names, canary.since_ms, stages)
        for names in _latest(store, keyspace, partitions, current, canary, users_most // 2)
    )
    both = served | tried
    of_served, of_canary = (
        read_lists(store, keyspace, each, both)
        for each in (current.variants[DEFAULT_VARIANT], canary.served)
    )
    return accuracy_of(both, tried, of_served, of_canary)


def accuracy_of(
    users: Mapping[str, Since], on_canary: Collection[str], served: Lists, canary: Lists
) -> Accuracy:
    """Return nDCG@10 of both lists for each user, of whom each has something after. Pure.

    Args:
        users: by id.
        on_canary: those of them who are shown the canary's lists, not the served ones.
        served: the lists of the served generation.
        canary: those of the canary.
    """
    question = Question.of(users, served, canary)
    has_canary = np.array([user in on_canary for user in users], np.bool_)
    return Accuracy(_ndcg(question, served), _ndcg(question, canary), has_canary)


def _ndcg(question: Question, lists: Lists) -> Floats:
    """Return (n_users,) nDCG@10, half of it of own lists, where there are any.

    They are shown until a user's first event of the trial only, and hide damage to the others.
    """
    return (question.ndcg(lists) + question.ndcg(lists._replace(own={}))) / 2


def _latest(
    store: Store, keyspace: Keyspace, partitions: int, current: Current, canary: Canary, users: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the latest active users by their histories' keys, of either generation so many."""
    served: dict[str, str] = {}
    tried: dict[str, str] = {}
    groups = {
        current.variants[DEFAULT_VARIANT].generation: served,
        canary.served.generation: tried,
    }
    active = by_time(store, keyspace, partitions, ACTIVE_MOST, canary.since_ms)
    for _, user, partition in active:
        shown = served_to(user, current)
        group = groups.get(shown[1].generation) if shown else None
        if group is not None and len(group) < users:
            group[keyspace.history(partition, user)] = user
        if len(served) == len(tried) == users:
            break
    return served, tried
