"""How well two generations' lists foresaw what users did after both were made.

Neither has learned from it, and it is the very lists that are measured, as they stand in Redis: so
whatever went wrong on the way there shows as well. What users did may follow from what they were
shown, mostly the served lists: that speaks for these, a little.

A user's items from before the trial are folded into each generation's lists as the API does; those
touched since are to be found. An item touched before and again since counts as one of these.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from contracts.keyspace import NOT_ITEMS, HistoryEntry, Keyspace, SimilarList
from contracts.messages import Ints
from runtime.stores import Store
from trainer.counts.matrices import Matrix, matrix
from trainer.counts.pipelines import ask_each
from trainer.evaluation.holdout import FOLDED_IN_ITEMS, Holdout
from trainer.evaluation.judged import judge
from trainer.evaluation.metrics.ndcg import ndcg
from trainer.evaluation.recommending import from_item_lists
from trainer.experiments.verdict import Accuracy

N: Final = 10
"""Length of a list: what the API sends unless asked for more."""

Neighbors = Mapping[int, Mapping[int, float]]
"""item -> neighbor -> score"""

_entry = msgspec.json.Decoder(HistoryEntry)
_similar = msgspec.json.Decoder(SimilarList)


class Since(NamedTuple):
    """What a user had when a trial began, and what came since."""

    before: dict[int, float]
    """item -> affinity, latest first"""
    after: list[int]


def read_accuracy(
    store: Store,
    keyspace: Keyspace,
    partitions: int,
    generations: tuple[str, str],
    since_ms: int,
    users_most: int,
) -> Accuracy:
    """Return how well the lists of the served generation and of the canary did.

    Args:
        store: where histories and lists are.
        keyspace: names them.
        partitions: of `interactions`.
        generations: the served one's name, the canary's.
        since_ms: when the trial began.
        users_most: of how many users, latest active first, histories are read.
    """
    users = _users_since(store, keyspace, partitions, since_ms, users_most)
    items = {item for user in users for item in user.before}
    served, canary = (_read_lists(store, keyspace, name, items) for name in generations)
    return accuracy_of(users, served, canary)


def accuracy_of(users: Sequence[Since], served: Neighbors, canary: Neighbors) -> Accuracy:
    """Return nDCG@10 of both lists for each user. Pure."""
    known = {item for user in users for item in (*user.before, *user.after)}
    for lists in (served, canary):
        known.update(item for neighbors in lists.values() for item in neighbors)
    items = np.array(sorted(known), np.int64)
    holdout = _holdout(users, items)
    of_served, of_canary = (
        ndcg(judge(holdout, from_item_lists(holdout, _as_matrix(lists, items), N)))
        for lists in (served, canary)
    )
    return Accuracy(of_served, of_canary)


def split(history: Mapping[str, str], since_ms: int) -> Since:
    """Return what stands in a `history` hash, parted by the time of each item's last event."""
    entries = [
        (-entry.t, int(item), entry.r)
        for item, value in history.items()
        if item not in NOT_ITEMS
        for entry in (_entry.decode(value),)
    ]
    before = {item: r for ts, item, r in sorted(entries) if -ts <= since_ms}
    return Since(before, [item for ts, item, _ in entries if -ts > since_ms])


def _users_since(
    store: Store, keyspace: Keyspace, partitions: int, since_ms: int, users_most: int
) -> list[Since]:
    """Return the latest active users who had something before and have more since."""
    latest: list[tuple[float, str]] = []
    for partition in range(partitions):
        active: Any = store.zrevrangebyscore(
            keyspace.active(partition),
            "+inf",
            f"({since_ms}",
            start=0,
            num=users_most,
            withscores=True,
        )
        latest += [(-ts, keyspace.history(partition, user)) for user, ts in active]
    keys = [key for _, key in sorted(latest)[:users_most]]
    histories = ask_each(store, keys, lambda pipeline, key: pipeline.hgetall(key))
    users = [split(history, since_ms) for history in histories]
    return [user for user in users if user.before and user.after]


def _read_lists(
    store: Store, keyspace: Keyspace, generation: str, items: Iterable[int]
) -> dict[int, dict[int, float]]:
    wanted = sorted(items)
    keys = [keyspace.model_similar(generation, str(item)) for item in wanted]
    values = ask_each(store, keys, lambda pipeline, key: pipeline.get(key))
    return {
        item: {int(neighbor.item): neighbor.score for neighbor in _similar.decode(value).items}
        for item, value in zip(wanted, values, strict=True)
        if value is not None
    }


def _holdout(users: Sequence[Since], items: Ints) -> Holdout:
    latest = [dict(list(user.before.items())[:FOLDED_IN_ITEMS]) for user in users]
    return Holdout(
        train=_rows([user.before for user in users], items),
        latest=_rows(latest, items),
        test=_rows([dict.fromkeys(user.after, 1.0) for user in users], items),
    )


def _as_matrix(lists: Neighbors, items: Ints) -> Matrix:
    """Return (n_items, n_items): row i has the scores of the neighbors of item i."""
    return _rows([lists.get(item, {}) for item in items.tolist()], items)


def _rows(rows: Sequence[Mapping[int, float]], items: Ints) -> Matrix:
    """Return a matrix with a column for each of `items`."""
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.fromiter((item for row in rows for item in row), np.int64, lengths.sum())
    data = np.fromiter((value for row in rows for value in row.values()), np.float64, len(ids))
    return matrix(data, np.searchsorted(items, ids), lengths, len(items))
