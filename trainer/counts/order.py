"""Ordered counts: how often, and how soon, one item follows another in users' histories. Pure.

A history is in the order of its items' last events; of items of one time, those with smaller ids
have later places, as in `contracts.fold_in`, but neither of two comes first.
"""

from functools import reduce
from operator import add
from typing import Final, NamedTuple

import numpy as np
from scipy.sparse import csr_array, vstack

from contracts.messages import Ints
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Matrix, entry_rows, mirrored, ranges

LAGS: Final = 60
"""Pairs that are further apart in a history are not counted; more hardly finds more."""
PAIRS_PER_BLOCK: Final = 1 << 22
"""Pairs that are in memory at once, some 40 bytes each, unless a single item has more."""
ENTRIES_PER_PIECE: Final = 1 << 23
"""Entries of histories that are put in order at once, some 76 bytes each."""


class Order(NamedTuple):
    """What a pair counts by the items' places in a history."""

    backwards: float
    """what j before i counts in the row of i, where i before j counts 1"""
    lag_exponent: float
    """a pair counts lag^-lag_exponent, the lag being the difference of the two places"""


def ordered(affinities: Matrix, ts_ms: Ints, order: Order) -> Matrix:
    """Return T with the items' own counts G_ii in its diagonal, (n_items, n_items).

    `T_ij = sum over users of r_ui r_uj lag_uij^-exponent`, for i before j by at most `LAGS` places,
    plus `backwards` times the same for j before i. A pair of one time counts the mean of the two in
    both rows: a basket's items, say, have no order that anything could be learned from.

    Time: a few operations a pair of a history's items at most `LAGS` places apart. Memory: that of
    the result, three times, and that of a piece of the histories.

    Args:
        affinities: (n_users, n_items) r_ui.
        ts_ms: (entries,) aligned with `affinities.data`: the last event's time.
        order: what a pair counts.
    """
    ends = affinities.indptr
    pieces = blocks(np.diff(ends).astype(np.int64), ENTRIES_PER_PIECE) or [(0, 0)]
    forwards = (
        _forwards(affinities[start:stop], ts_ms[ends[start] : ends[stop]], order.lag_exponent)
        for start, stop in pieces
    )
    return mirrored(reduce(add, forwards), order.backwards)


def _forwards(affinities: Matrix, ts_ms: Ints, exponent: float) -> Matrix:
    """Return the sum over i before j alone; of one time, half a pair in both rows.

    In the diagonal is the sum of r_ui^2.
    """
    n_items = affinities.shape[1]
    user = entry_rows(affinities.indptr)
    by_time = np.lexsort((-affinities.indices, ts_ms, user))  # each user's items, oldest first
    items, r, ts_ms = affinities.indices[by_time], affinities.data[by_time], ts_ms[by_time]
    place = np.arange(len(items))
    first = np.maximum(_first_of_one_time(user, ts_ms), place - LAGS)
    others_of = np.minimum(affinities.indptr[user + 1], place + LAGS + 1) - first
    by_lag = np.maximum(np.arange(LAGS + 1), 1.0) ** -exponent

    # Where each item stands, item after item: a block of items makes whole rows.
    places = np.argsort(items, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(items, minlength=n_items))])
    pairs = np.bincount(items, others_of, minlength=n_items).astype(np.int64)

    def rows(start: int, stop: int) -> Matrix:
        here = places[ends[start] : ends[stop]]
        lengths = others_of[here]
        i, j = np.repeat(here, lengths), ranges(first[here], lengths)
        shares = by_lag[np.abs(i - j)]
        shares[(ts_ms[i] == ts_ms[j]) & (i != j)] /= 2
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        near: Matrix = csr_array((r[j] * shares, items[j], indptr), (len(here), n_items))
        of_items = ends[start : stop + 1] - ends[start]
        shape = (stop - start, len(here))
        weights: Matrix = csr_array((r[here], np.arange(len(here)), of_items), shape)
        return csr_array(weights @ near)

    parts = [rows(*block) for block in blocks(pairs, PAIRS_PER_BLOCK)]
    whole: Matrix = csr_array(vstack(parts, format="csr")) if parts else csr_array((0, n_items))
    whole.sort_indices()
    return whole


def _first_of_one_time(user: Ints, ts_ms: Ints) -> Ints:
    """Return the place of the first of those that are of one user and time, which are in a row."""
    starts = np.ones(len(user), np.bool_)
    starts[1:] = (user[1:] != user[:-1]) | (ts_ms[1:] != ts_ms[:-1])
    first: Ints = np.maximum.accumulate(np.where(starts, np.arange(len(user)), 0))
    return first
