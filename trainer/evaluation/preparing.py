"""A hold-out from a file's events, with the matrices that the stream's fold makes of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from contracts.messages import Floats, Ints
from trainer.counts.derived import Histories
from trainer.counts.matrices import Matrix
from trainer.evaluation.interactions import Interactions, Split, UserIds
from trainer.evaluation.worker import WorkerRules, counting
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


def prepare(split: Split, rules: WorkerRules) -> Prepared:
    """Return the hold-out of a split, as workers with these rules would have folded it."""
    found = rules.histories(_frame(split.train))
    users = pd.Index(sorted(set(found["user"])), dtype=object)
    items = pd.Index(np.unique(found["item"]))
    shape = (len(users), len(items))
    rows, columns = users.get_indexer(pd.Index(found["user"])), items.get_indexer(found["item"])
    affinities, stored, ts_ms, first_ms = (
        _matrix(values.to_numpy(), rows, columns, shape)
        for values in (
            found["affinity"],
            found["affinity"] * found["scale"],
            found["ts_ms"],
            found["first_ms"],
        )
    )
    last, first = (np.asarray(some.data, np.int64) for some in (ts_ms, first_ms))
    histories = Histories(affinities, last, first, users.tolist())
    streamed: Matrix = csr_array(stored.T @ stored)
    streamed.sort_indices()

    asked = _frame(split.test)
    wanted = asked.loc[counting(asked), ["user", "item"]].drop_duplicates()
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
            "weight": events.weights,
            "value": events.values,
        }
    )


def _matrix(values: Floats, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Matrix:
    made: Matrix = csr_array((np.asarray(values, np.float64), (rows, columns)), shape=shape)
    made.sort_indices()
    return made
