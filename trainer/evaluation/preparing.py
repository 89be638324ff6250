"""A hold-out from a file's events, with the matrices that the stream's fold makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from contracts.messages import Ints
from runtime.settings import FoldingSettings
from trainer.counts.derived import Histories
from trainer.counts.matrices import Matrix, csr
from trainer.evaluation.interactions import Split, UserIds
from trainer.evaluation.splits import frame_of
from trainer.folding.histories import Events, Folded, fold
from trainer.judging.holdout import Holdout, unseen


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


def prepare(split: Split, rules: FoldingSettings) -> Prepared:
    """Return the hold-out of a split, as workers with these rules would have folded it.

    Only a user's scale differs: it is that of the history as it ends, which the stream, that cannot
    know the end, lags a little behind.
    """
    events, nothing = split.train, np.zeros(len(split.train), np.int64)
    user, names = pd.factorize(events.users, sort=True)
    by_user = np.argsort(user, kind="stable")
    of_log = (nothing, np.arange(len(events)), events.items, events.weights, events.ts_ms)
    columns = Events(*of_log, events.values, nothing, nothing)
    parts = fold(columns.where(by_user), np.bincount(user), rules)

    lengths = _whole(parts, "lengths", np.int64)
    had, row = np.unique(np.repeat(_whole(parts, "users", np.int64), lengths), return_inverse=True)
    users = pd.Index(names[had], dtype=object)
    ids, column = np.unique(_whole(parts, "items", np.int64), return_inverse=True)
    items, shape = pd.Index(ids), (len(users), len(ids))
    order = np.lexsort((column, row))
    affinities = csr(
        _whole(parts, "affinities", np.float64)[order],
        column[order].astype(np.int32),
        np.bincount(row, minlength=len(users)),
        len(items),
    )
    last, first = (_whole(parts, name, np.int64)[order] for name in ("ts_ms", "first_ms"))
    histories = Histories(affinities, last, first, users.tolist())
    scales = np.repeat(_whole(parts, "scales", np.float64), lengths)[order]
    scaled = (affinities.data * scales, affinities.indices, affinities.indptr)
    stored: Matrix = csr_array(scaled, shape)
    streamed: Matrix = csr_array(stored.T @ stored)
    streamed.sort_indices()

    asked, counts = frame_of(split.test)
    wanted = asked[counts].drop_duplicates()
    user_known, item_known = wanted["user"].isin(users), wanted["item"].isin(items)
    both = wanted[user_known & item_known]
    places = users.get_indexer(pd.Index(both["user"])), items.get_indexer(both["item"])
    known: Matrix = csr_array((np.ones(len(both)), places), shape=shape)
    known.sort_indices()
    # An item that left a capped history may be wanted again, and the API may recommend it again.
    test = unseen(known, affinities)
    again: Matrix = csr_array(known - test)
    again.eliminate_zeros()
    left_out = LeftOut(
        unknown_users=int(wanted["user"][~user_known].nunique()),
        pairs_of_unknown_users=int((~user_known).sum()),
        pairs_of_unknown_items=int((user_known & ~item_known).sum()),
        pairs_seen_before=again.nnz,
    )
    return Prepared(
        Holdout(histories, stored.data, streamed, test, again, split.at_random),
        users.to_numpy(object),
        items.to_numpy(np.int64),
        left_out,
    )


def _whole(parts: Sequence[Folded], name: str, dtype: type[Any]) -> Any:
    """Return a column of histories, part after part."""
    return np.concatenate([np.empty(0, dtype), *(getattr(part, name) for part in parts)])
