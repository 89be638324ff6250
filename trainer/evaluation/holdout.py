"""From a split to matrices: what the trainer would have learned from, and what is to be found.

The matrix is the one that the stream's fold makes: an affinity is 1 after the first event, and a
history keeps the items touched last.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from contracts.messages import Ints
from trainer.counts.matrices import Matrix
from trainer.evaluation.interactions import Interactions, Split, UserIds

HISTORY_CAP: Final = 500
"""Items that a history keeps: the default of the stream processors."""
FOLDED_IN_ITEMS: Final = 50
"""A user's latest items that the API folds into the items' lists."""


Places = pd.Index  # of ids: which row or column each has


@dataclass(frozen=True, eq=False)
class Holdout:
    """What users had, and what they took afterwards; rows are the same users everywhere."""

    train: Matrix
    """(n_users, n_items) affinities to learn from; these items are not recommended again"""
    latest: Matrix
    """(n_users, n_items) of them, those of the user's `FOLDED_IN_ITEMS` latest items"""
    test: Matrix
    """(n_users, n_items) above 0 where an item is to be found; never where `train` is"""

    @property
    def judged(self) -> Ints:
        """The rows of users with something to be found."""
        return np.flatnonzero(np.diff(self.test.indptr))

    @cached_property
    def gram(self) -> Matrix:
        """G = R^T R of what users had, (n_items, n_items): all that an item model needs."""
        counts: Matrix = csr_array(self.train.T @ self.train)
        counts.sort_indices()
        return counts


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What of the test events no model can be asked for, in users and in pairs of user and item."""

    unknown_users: int
    """without any event to learn from: the API shows them what is popular"""
    pairs_of_unknown_users: int
    pairs_of_unknown_items: int
    """items that nobody had yet"""
    pairs_seen_before: int
    """the user had the item already"""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A hold-out with the ids that its rows and columns stand for."""

    holdout: Holdout
    users: UserIds
    """(n_users,) ids, ascending"""
    items: Ints
    """(n_items,) ids, ascending"""
    left_out: LeftOut


def prepare(split: Split) -> Prepared:
    """Return the hold-out of a split."""
    history = _history(split.train)
    users = pd.Index(sorted(set(history["user"])), dtype=object)
    items = pd.Index(np.unique(history["item"]))
    train = _matrix(history, users, items)
    latest = _matrix(history[history["age"] < FOLDED_IN_ITEMS], users, items)

    wanted = pd.DataFrame({"user": split.test.users, "item": split.test.items}).drop_duplicates()
    user_known, item_known = wanted["user"].isin(users), wanted["item"].isin(items)
    known = _matrix(wanted[user_known & item_known], users, items)
    # An item that left a capped history may be wanted again, and the API may recommend it again.
    test = csr_array(known - known * train)
    test.eliminate_zeros()
    test.sort_indices()
    left_out = LeftOut(
        unknown_users=int(wanted["user"][~user_known].nunique()),
        pairs_of_unknown_users=int((~user_known).sum()),
        pairs_of_unknown_items=int((user_known & ~item_known).sum()),
        pairs_seen_before=known.nnz - test.nnz,
    )
    return Prepared(
        Holdout(train, latest, test), users.to_numpy(object), items.to_numpy(np.int64), left_out
    )


def _history(events: Interactions) -> pd.DataFrame:
    """Return user, item and age of what the capped histories hold; a user's latest item is age 0.

    Of items of one time the cap keeps those of greater ids, and the API takes those of smaller ids
    first, so the cap and the age are two orders.
    """
    frame = pd.DataFrame({"user": events.users, "item": events.items, "ts_ms": events.ts_ms})
    # Sorted by its last event and then left alone, a pair keeps that event.
    last = frame.sort_values("ts_ms", kind="stable").drop_duplicates(["user", "item"], keep="last")
    last = last.sort_values(["ts_ms", "item"], ascending=[False, False])
    kept = last[last.groupby("user", sort=False).cumcount() < HISTORY_CAP]
    kept = kept.sort_values(["ts_ms", "item"], ascending=[False, True])
    return kept.assign(age=kept.groupby("user", sort=False).cumcount()).sort_index()


def _matrix(pairs: pd.DataFrame, users: Places, items: Places) -> Matrix:
    """Return (n_users, n_items), 1 for each pair."""
    rows = users.get_indexer(pd.Index(pairs["user"]))
    columns = items.get_indexer(pd.Index(pairs["item"]))
    made: Matrix = csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(users), len(items)))
    made.sort_indices()
    return made
