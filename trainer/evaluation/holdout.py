"""What the trainer would have learned from, and what is to be found; made from a file here.

The matrices are those that the stream's fold makes (`trainer.evaluation.worker`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from contracts.fold_in import FoldIn
from contracts.messages import Floats, Ints
from trainer.counts.derived import (
    CountsConfig,
    Histories,
    completed,
    gram_of,
    reordered,
)
from trainer.counts.matrices import Indices, Matrix, entry_rows
from trainer.evaluation.interactions import Interactions, Split, UserIds
from trainer.evaluation.worker import WorkerRules

Places = pd.Index  # of ids: which row or column each has


@dataclass(frozen=True, slots=True, eq=False)
class Holdout:
    """What users had, and what they took afterwards; rows are the same users everywhere."""

    histories: Histories
    """of (n_users, n_items), to learn from; these items are not recommended again"""
    stored: Floats
    """(entries,) their affinities as stored in Redis, users' scales included"""
    streamed: Matrix
    """(n_items, n_items) G as the workers keep it, of nothing that is to be found"""
    test: Matrix
    """(n_users, n_items) above 0 where an item is to be found; never where a history has it"""
    at_random: bool = False
    """what is to be found was hidden at random, and did not come afterwards"""

    @property
    def train(self) -> Matrix:
        """(n_users, n_items) the affinities of what users have."""
        return self.histories.affinities

    @property
    def judged(self) -> Ints:
        """The rows of users with something to be found."""
        return np.flatnonzero(np.diff(self.test.indptr))

    def gram(self, config: CountsConfig) -> Matrix:
        """Return G, (n_items, n_items), counted as the configuration says."""
        if config.is_streamed:
            return self.streamed
        return completed(gram_of(self.histories, config), self.streamed)

    @property
    def stored_rows(self) -> Matrix:
        """(n_users, n_items) the affinities of what users have, as in Redis."""
        found = self.train
        return csr_array((self.stored, found.indices, found.indptr), found.shape)

    def columns(self, order: Ints) -> "Holdout":
        """Return the same with the items in another order: `order[k]` becomes column k."""
        return Holdout(
            self.histories.columns(order),
            reordered(self.stored_rows, order).data,
            reordered(csr_array(self.streamed[order]), order),
            reordered(self.test, order),
            self.at_random,
        )

    def folded(self, users: Ints, fold_in: FoldIn) -> Matrix:
        """Return w_ui, (len(users), n_items), of what is folded in of some users' histories."""
        return folded(self.histories, users, fold_in)


def folded(histories: Histories, users: Ints, fold_in: FoldIn) -> Matrix:
    """Return w_ui, (len(users), n_items), of what is folded in of some users' histories.

    The rule of `contracts.fold_in`: of items of one time, those with smaller ids are later.
    """
    rows = histories.affinities[users]
    lengths = np.diff(rows.indptr)
    entries = _ranges(histories.affinities.indptr[users], lengths)
    ts_ms = histories.ts_ms[entries]
    user = entry_rows(rows.indptr)
    latest = np.zeros(len(users), np.int64)
    np.maximum.at(latest, user, ts_ms)
    data = fold_in.weights(rows.data, latest[user] - ts_ms)
    if len(lengths) and lengths.max() > fold_in.items:
        order = np.lexsort((rows.indices, -ts_ms, user))
        age = np.empty(len(order), np.int64)
        age[order] = np.arange(len(order)) - np.repeat(rows.indptr[:-1], lengths)
        data = np.where(age < fold_in.items, data, 0)
    made: Matrix = csr_array((data, rows.indices, rows.indptr), rows.shape)
    made.eliminate_zeros()
    return made


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


def prepare(split: Split, rules: WorkerRules) -> Prepared:
    """Return the hold-out of a split, as workers with these rules would have folded it."""
    found = rules.histories(_frame(split.train))
    users = pd.Index(sorted(set(found["user"])), dtype=object)
    items = pd.Index(np.unique(found["item"]))
    shape = (len(users), len(items))
    rows, columns = users.get_indexer(pd.Index(found["user"])), items.get_indexer(found["item"])
    affinities, stored, ts_ms = (
        _matrix(values.to_numpy(), rows, columns, shape)
        for values in (found["affinity"], found["affinity"] * found["scale"], found["ts_ms"])
    )
    histories = Histories(affinities, np.asarray(ts_ms.data, np.int64))
    streamed: Matrix = csr_array(stored.T @ stored)
    streamed.sort_indices()

    wanted = pd.DataFrame({"user": split.test.users, "item": split.test.items}).drop_duplicates()
    user_known, item_known = wanted["user"].isin(users), wanted["item"].isin(items)
    both = wanted[user_known & item_known]
    known = _matrix(
        np.ones(len(both)),
        users.get_indexer(pd.Index(both["user"])),
        items.get_indexer(both["item"]),
        shape,
    )
    # An item that left a capped history may be wanted again, and the API may recommend it again.
    test = unseen(known, affinities)
    left_out = LeftOut(
        unknown_users=int(wanted["user"][~user_known].nunique()),
        pairs_of_unknown_users=int((~user_known).sum()),
        pairs_of_unknown_items=int((user_known & ~item_known).sum()),
        pairs_seen_before=known.nnz - test.nnz,
    )
    return Prepared(
        Holdout(histories, stored.data, streamed, test, split.at_random),
        users.to_numpy(object),
        items.to_numpy(np.int64),
        left_out,
    )


def _frame(events: Interactions) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user": events.users,
            "item": events.items,
            "ts_ms": events.ts_ms,
            "event": events.events,
            "value": events.values,
        }
    )


def _matrix(values: Floats, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Matrix:
    made: Matrix = csr_array((np.asarray(values, np.float64), (rows, columns)), shape=shape)
    made.sort_indices()
    return made


def unseen(wanted: Matrix, seen: Matrix) -> Matrix:
    """Return what is wanted and not among what is seen."""
    pattern = csr_array((np.ones(seen.nnz), seen.indices, seen.indptr), shape=seen.shape)
    left: Matrix = csr_array(wanted - wanted * pattern)
    left.eliminate_zeros()
    left.sort_indices()
    return left


def _ranges(starts: Indices, lengths: Indices) -> Ints:
    """Return the numbers of several ranges, one after the other.

    >>> _ranges(np.array([5, 0]), np.array([2, 3]))
    array([5, 6, 0, 1, 2])
    """
    ends = np.cumsum(lengths)
    begun = np.repeat(starts - (ends - lengths), lengths)
    found: Ints = np.arange(len(begun), dtype=np.int64) + begun
    return found
