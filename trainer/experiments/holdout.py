"""How well two generations' lists foresaw what users did after both were made.

Neither has learned from it, and it is the very lists that are measured, as they stand in Redis: so
whatever went wrong on the way there shows as well. What users did may follow from what they were
shown, and most were shown the served lists: so it matters who was shown which.

A user's items from before the trial are folded into each generation's lists as the API does, by
what that generation's `FoldIn` says; those touched since are to be found. An item touched before
and again since counts as one of these.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from scipy.sparse import csr_array

from contracts.fold_in import FoldIn
from contracts.keyspace import (
    DEFAULT_VARIANT,
    NOT_ITEMS,
    Canary,
    Current,
    HistoryEntry,
    Keyspace,
    SimilarList,
)
from contracts.messages import Floats, Ints
from contracts.variants import served_to
from runtime.stores import Store
from trainer.counts.matrices import Matrix
from trainer.counts.pipelines import ask_each
from trainer.evaluation.judged import Judged
from trainer.evaluation.metrics.ndcg import ndcg
from trainer.experiments.verdict import Accuracy
from trainer.models.ranking import rounded, top_n

N: Final = 10
"""Length of a list: what the API sends unless asked for more."""
ACTIVE_MOST: Final = 20_000
"""Of each partition so many users, latest active first, are asked which generation they have."""
NONE: Final = -1
"""In the place of an item where a list is shorter than `N`."""

Neighbors = Mapping[int, Mapping[int, float]]
"""item -> neighbor -> score, below 0 where the item speaks against the neighbor"""

_entry = msgspec.json.Decoder(HistoryEntry)
_similar = msgspec.json.Decoder(SimilarList)


class Had(NamedTuple):
    """What a user has with an item."""

    affinity: float
    """without the user's scale"""
    t: int
    """last event time, epoch ms"""


class Since(NamedTuple):
    """What a user had when a trial began, and what came since."""

    before: dict[int, Had]
    """by item, latest first"""
    after: list[int]
    on_canary: bool = False
    """the user is shown the canary's lists, not the served ones"""


class Lists(NamedTuple):
    """A generation's lists, and how it wants histories folded into them."""

    neighbors: Neighbors
    fold_in: FoldIn = FoldIn()


def read_accuracy(
    store: Store,
    keyspace: Keyspace,
    partitions: int,
    current: Current,
    canary: Canary,
    users_most: int,
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
    """
    pair = (current.variants[DEFAULT_VARIANT], canary.served)
    groups = _latest(store, keyspace, partitions, current, canary.since_ms)
    users = [
        user._replace(on_canary=group == canary.served.generation)
        for group in (served.generation for served in pair)
        for user in _read_users(store, groups[group][: users_most // 2], canary.since_ms)
    ]
    items = {item for user in users for item in user.before}
    served, tried = (
        Lists(_read_lists(store, keyspace, each.generation, items), each.fold_in) for each in pair
    )
    return accuracy_of(users, served, tried)


def accuracy_of(users: Sequence[Since], served: Lists, canary: Lists) -> Accuracy:
    """Return nDCG@10 of both lists for each user. Pure."""
    known = {item for user in users for item in (*user.before, *user.after)}
    for lists in (served, canary):
        known.update(item for neighbors in lists.neighbors.values() for item in neighbors)
    items = np.array(sorted(known), np.int64)
    seen = _rows([dict.fromkeys(user.before, 1.0) for user in users], items)
    wanted = _rows([dict.fromkeys(user.after, 1.0) for user in users], items)
    of_served, of_canary = (
        _ndcg(_recommended(_scores(users, lists, items), seen), seen, wanted)
        for lists in (served, canary)
    )
    return Accuracy(of_served, of_canary, np.array([user.on_canary for user in users], np.bool_))


def split(history: Mapping[str, str], since_ms: int) -> Since:
    """Return what stands in a `history` hash, parted by the time of each item's last event."""
    entries = [
        (-entry.t, int(item), entry.r / entry.s)
        for item, value in history.items()
        if item not in NOT_ITEMS
        for entry in (_entry.decode(value),)
    ]
    before = {item: Had(r, -ts) for ts, item, r in sorted(entries) if -ts <= since_ms}
    return Since(before, [item for ts, item, _ in entries if -ts > since_ms])


def _latest(
    store: Store, keyspace: Keyspace, partitions: int, current: Current, since_ms: int
) -> dict[str, list[str]]:
    """Return the keys of the users' histories by generation, latest active first."""
    latest: list[tuple[float, str, str]] = []
    for partition in range(partitions):
        active: Any = store.zrevrangebyscore(
            keyspace.active(partition),
            "+inf",
            f"({since_ms}",
            start=0,
            num=ACTIVE_MOST,
            withscores=True,
        )
        latest += [(-ts, keyspace.history(partition, user), user) for user, ts in active]
    groups: dict[str, list[str]] = defaultdict(list)
    for _, key, user in sorted(latest):
        shown = served_to(user, current)
        if shown is not None:
            groups[shown[1].generation].append(key)
    return groups


def _read_users(store: Store, keys: Iterable[str], since_ms: int) -> list[Since]:
    """Return those who had something before and have more since.

    A history that is not as the workers write it is left out, as in training.
    """
    histories = ask_each(store, keys, lambda pipeline, key: pipeline.hgetall(key), if_wrong_type={})
    users = []
    for history in histories:
        with suppress(ValueError, msgspec.MsgspecError):
            users.append(split(history, since_ms))
    return [user for user in users if user.before and user.after]


def _read_lists(
    store: Store, keyspace: Keyspace, generation: str, items: Iterable[int]
) -> dict[int, dict[int, float]]:
    wanted = sorted(items)
    keys = [keyspace.model_similar(generation, str(item)) for item in wanted]
    values = ask_each(store, keys, lambda pipeline, key: pipeline.get(key), if_wrong_type=None)
    return {
        item: {int(neighbor.item): neighbor.score for neighbor in _similar.decode(value).items}
        for item, value in zip(wanted, values, strict=True)
        if value is not None
    }


def _scores(users: Sequence[Since], lists: Lists, items: Ints) -> Matrix:
    """Return (n_users, n_items): the weighted mean of what the user's latest items say of each."""
    shares = _rows([_shares(user, lists.fold_in) for user in users], items)
    of_items = _rows([lists.neighbors.get(item, {}) for item in items.tolist()], items)
    return csr_array(shares @ of_items)


def _shares(user: Since, fold_in: FoldIn) -> dict[int, float]:
    """Return the weight of each of the user's latest items; they sum to 1."""
    latest = dict(list(user.before.items())[: fold_in.items])
    affinities = np.array([had.affinity for had in latest.values()], np.float64)
    times = np.array([had.t for had in latest.values()], np.int64)
    weights = fold_in.weights(affinities, times.max(initial=0) - times)
    total = weights.sum()
    return dict(zip(latest, (weights / total).tolist(), strict=True)) if total > 0 else {}


def _recommended(scores: Matrix, seen: Matrix) -> Ints:
    """Return (n_users, N) columns: the best above 0 that the user has not seen, then `NONE`."""
    kept = csr_array(scores - scores * seen)
    kept.data = np.maximum(rounded(kept.data), 0)
    kept.eliminate_zeros()
    kept.sort_indices()
    best = top_n(kept, np.zeros(kept.nnz), N)
    rows = np.repeat(np.arange(len(best)), np.diff(best.indptr))
    items = np.full((len(best), N), NONE, np.int64)
    items[rows, np.arange(len(rows)) - best.indptr[rows]] = best.columns
    return items


def _ndcg(recommended: Ints, seen: Matrix, wanted: Matrix) -> Floats:
    n_users, n_items = wanted.shape
    rows = np.repeat(np.arange(n_users), np.diff(wanted.indptr))
    places = np.arange(n_users)[:, np.newaxis] * n_items + recommended
    found = np.isin(places, rows * n_items + wanted.indices) & (recommended != NONE)
    relevant = np.diff(wanted.indptr).astype(np.int64)
    return ndcg(Judged(items=recommended, hits=found, relevant=relevant, train=seen))


def _rows(rows: Sequence[Mapping[int, float]], items: Ints) -> Matrix:
    """Return a matrix with a column for each of `items`."""
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    ids = np.fromiter((item for row in rows for item in row), np.int64, indptr[-1])
    data = np.fromiter((value for row in rows for value in row.values()), np.float64, indptr[-1])
    made: Matrix = csr_array(
        (data, np.searchsorted(items, ids), indptr), shape=(len(rows), len(items))
    )
    made.sort_indices()
    return made
