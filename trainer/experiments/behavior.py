"""How well two generations' lists predicted what users did after both were made.

Neither has learned from it, and the lists are measured as they are in Redis, so an error on the way
there shows as well. What users did may follow from what they were shown, and most were shown the
served lists: so it matters who was shown which.

A user's items from before the trial are folded into each generation's lists as the API does, by
what that generation's `FoldIn` says; those that the user did not have then are to be found. Of an
item touched before and again since, the first event counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from redis.client import NEVER_DECODE
from scipy.sparse import csr_array

from contracts.fold_in import FoldIn
from contracts.generations import DEFAULT_VARIANT, Canary, Current, PopularList, SimilarList
from contracts.keyspace import Keyspace
from contracts.messages import Ints
from contracts.variants import served_to
from runtime.redis.stores import Store
from trainer.counts.derived import Histories
from trainer.counts.matrices import Matrix, csr
from trainer.experiments.verdict import Accuracy
from trainer.judging.holdout import Holdout
from trainer.judging.metrics import N, judge, ndcg
from trainer.judging.recommending import continued, from_item_lists, from_popular
from trainer.quality.gate import report_corrupt
from trainer.reading import ParsedHistories, Quarantine, ask_each, by_time, read_histories
from trainer.stages import Stages

ACTIVE_MOST: Final = 20_000
"""Of each partition so many users, latest active first, are asked which generation they have."""

Neighbors = Mapping[int, Mapping[int, float]]
"""item -> neighbor -> score, below 0 where the item speaks against the neighbor"""

_similar: Final = msgspec.json.Decoder(SimilarList)
_popular: Final = msgspec.json.Decoder(PopularList)


class Had(NamedTuple):
    """What a user has with an item."""

    affinity: float
    """without the user's scale"""
    t: int
    """last event time until then, as far as is known, epoch ms"""


class Since(NamedTuple):
    """What a user had when lists were first served, and what is new since."""

    before: dict[int, Had]
    """by item"""
    after: list[int]
    on_canary: bool = False
    """the user is shown the canary's lists, not the served ones"""


class Lists(NamedTuple):
    """A generation's lists, and how it wants histories folded into them."""

    neighbors: Neighbors
    fold_in: FoldIn = FoldIn()
    popular: Mapping[int, float] = {}
    """item -> score: what continues short lists"""


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
    pair = (current.variants[DEFAULT_VARIANT], canary.served)
    of_served, of_canary = (
        read_users(store, keys, canary.since_ms, stages).values()
        for keys in _latest(store, keyspace, partitions, current, canary, users_most // 2)
    )
    users = [*of_served, *(user._replace(on_canary=True) for user in of_canary)]
    items = {item for user in users for item in user.before}
    served, tried = (
        Lists(
            read_lists(store, keyspace, each.generation, items),
            each.fold_in,
            read_popular(store, keyspace, each.generation),
        )
        for each in pair
    )
    return accuracy_of(users, served, tried)


def accuracy_of(users: Sequence[Since], served: Lists, canary: Lists) -> Accuracy:
    """Return nDCG@10 of both lists for each user, of whom each has something after. Pure."""
    known = {item for user in users for item in (*user.before, *user.after)}
    for lists in (served, canary):
        known.update(lists.popular)
        known.update(item for neighbors in lists.neighbors.values() for item in neighbors)
    items = np.array(sorted(known), np.int64)
    holdout = holdout_of(users, items)
    of_served, of_canary = (
        ndcg(
            judge(
                holdout,
                continued(
                    from_item_lists(holdout, matrix_of(lists, items), lists.fold_in, N),
                    from_popular(holdout, rows_of([lists.popular], items), N),
                ),
            )
        )
        for lists in (served, canary)
    )
    return Accuracy(of_served, of_canary, np.array([user.on_canary for user in users], np.bool_))


def split(histories: ParsedHistories, since_ms: int) -> list[Since]:
    """Return what each user has, split by the time of each item's first event."""
    first_ms = histories.first_ms
    ts_ms = np.where(histories.ts_ms <= since_ms, histories.ts_ms, first_ms)
    columns = (histories.items, histories.unscaled, ts_ms, first_ms)
    entries = list(zip(*(column.tolist() for column in columns), strict=True))
    ends = np.cumsum(histories.lengths).tolist()
    return [
        Since(
            {item: Had(r, t) for item, r, t, first in entries[start:stop] if first <= since_ms},
            [item for item, _, _, first in entries[start:stop] if first > since_ms],
        )
        for start, stop in pairwise([0, *ends])
    ]


def _latest(
    store: Store, keyspace: Keyspace, partitions: int, current: Current, canary: Canary, users: int
) -> tuple[list[str], list[str]]:
    """Return the keys of the latest active users' histories, of either generation so many."""
    served: list[str] = []
    tried: list[str] = []
    groups = {
        current.variants[DEFAULT_VARIANT].generation: served,
        canary.served.generation: tried,
    }
    active = by_time(store, keyspace, partitions, ACTIVE_MOST, canary.since_ms)
    for _, user, partition in active:
        shown = served_to(user, current)
        group = groups.get(shown[1].generation) if shown else None
        if group is not None and len(group) < users:
            group.append(keyspace.history(partition, user))
        if len(served) == len(tried) == users:
            break
    return served, tried


def read_users(
    store: Store, keys: Sequence[str], since_ms: int, stages: Stages
) -> dict[str, Since]:
    """Return those who had something before and have more since, by their histories' keys.

    A history that is not as the workers write it is left out, as in training, and counted.
    """
    users: dict[str, Since] = {}
    quarantine = Quarantine()
    for histories in read_histories(
        store, len(keys), keys.__getitem__, quarantine, stages, "read users"
    ):
        of_each = zip(histories.offsets, split(histories, since_ms), strict=True)
        users |= {keys[row]: user for row, user in of_each if user.before and user.after}
    if quarantine.n:
        report_corrupt(quarantine.shown, quarantine.n)
    return users


def read_lists(
    store: Store, keyspace: Keyspace, generation: str, items: Iterable[int]
) -> dict[int, dict[int, float]]:
    """Return a generation's lists of some items, as they are in Redis."""
    wanted = sorted(items)
    keys = [keyspace.model_similar(generation, str(item)) for item in wanted]
    values = read_values(store, keys)
    return {
        item: _neighbors(value)
        for item, value in zip(wanted, values, strict=True)
        if value is not None
    }


def read_popular(store: Store, keyspace: Keyspace, generation: str) -> dict[int, float]:
    """Return a generation's popular list, item -> score; empty if it is missing or no list."""
    (value,) = read_values(store, [keyspace.model_popular(generation)])
    with suppress(ValueError, msgspec.MsgspecError):
        if value is not None:
            return {int(item.item): item.score for item in _popular.decode(value).items}
    return {}


def read_values(store: Store, keys: Sequence[str]) -> Sequence[Any]:
    """Return the bytes at some keys; None where nothing or something else is."""

    def ask(pipeline: Any, key: str) -> object:
        return pipeline.execute_command("GET", key, **{NEVER_DECODE: True})

    return ask_each(store, keys, ask, if_wrong_type=None)


def _neighbors(value: bytes) -> dict[int, float]:
    """Return an item's neighbors; none if that is no list, as if it were missing."""
    with suppress(ValueError, OverflowError, msgspec.MsgspecError):
        found = _similar.decode(value).items
        ids = np.array([int(neighbor.item) for neighbor in found], np.int64).tolist()
        return {item: neighbor.score for item, neighbor in zip(ids, found, strict=True)}
    return {}


def holdout_of(users: Sequence[Since], items: Ints) -> Holdout:
    """Return what users had, and took since; nobody has to count anything."""
    had = rows_of(
        [{item: had.affinity for item, had in user.before.items()} for user in users], items
    )
    ts_ms = [had.t for user in users for _, had in sorted(user.before.items())]
    return Holdout(
        Histories(had, np.array(ts_ms, np.int64)),
        stored=had.data,
        streamed=csr_array((len(items), len(items))),
        test=rows_of([dict.fromkeys(user.after, 1.0) for user in users], items),
    )


def matrix_of(lists: Lists, items: Ints) -> Matrix:
    """Return lists as a matrix with a row and a column for each of `items`."""
    return rows_of([lists.neighbors.get(item, {}) for item in items.tolist()], items)


def rows_of(rows: Sequence[Mapping[int, float]], items: Ints) -> Matrix:
    """Return a matrix with a column for each of `items`."""
    entries = [entry for row in rows for entry in sorted(row.items())]
    ids = np.array([item for item, _ in entries], np.int64)
    data = np.array([value for _, value in entries], np.float64)
    lengths = np.array([len(row) for row in rows], np.int64)
    return csr(data, np.searchsorted(items, ids), lengths, len(items))
