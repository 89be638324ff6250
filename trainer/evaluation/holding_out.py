"""Holds out a part of what histories have, so that candidates can be asked to find it. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from contracts.messages import Floats
from trainer.counts.derived import Histories, without
from trainer.counts.matrices import Matrix
from trainer.evaluation.holdout import Holdout

LEAST_ITEMS: Final = 4
"""Of a history, for any of it to be held out: a quarter is, so one item or more."""
HELD_OUT: Final = 0.25
COMING_BACK: Final = 0.25
"""Share of the users with enough items who must have some before and after a moment."""


def hold_out(
    histories: Histories,
    stored: Floats,
    streamed: Matrix,
    users_most: int,
    seed: int,
    *,
    at_random: bool = False,
) -> Holdout:
    """Return a hold-out of what some users did last, none of which is in G.

    The split is at a point in time, if enough users were active before and after it: then
    everything that anyone did afterwards is held out, since a recommender does not know it either.
    Where users come and go, or times mean nothing, it is the latest quarter of each user's items.

    Args:
        histories: of (n_users, n_items).
        stored: (entries,) their affinities as the workers have them, users' scales included.
        streamed: (n_items, n_items) G as the workers keep it.
        users_most: how many users are asked for what is held out, drawn from those who can be.
        seed: of the draw.
        at_random: hide a random quarter of each user's items instead, as a benchmark may ask.
    """
    user, degrees = histories.users_of_entries(), histories.degrees
    after = _after_a_moment(histories)
    n_after = np.bincount(user[after], minlength=len(degrees))
    both = (n_after > 0) & (n_after < degrees)
    back = both.sum() >= COMING_BACK * max((degrees >= LEAST_ITEMS).sum(), 1)
    is_temporal = bool(back) and not at_random
    able = np.flatnonzero(both if is_temporal else degrees >= LEAST_ITEMS)
    sampled = np.zeros(len(degrees), np.bool_)
    sampled[np.random.default_rng(seed).permutation(able)[:users_most]] = True
    first = np.random.default_rng(seed).random(len(user)) if at_random else -histories.ts_ms
    held = after if is_temporal else sampled[user] & _is_first_quarter(histories, first)
    found = histories.affinities
    whole: Matrix = csr_array((stored, found.indices, found.indptr), found.shape)
    rest = Histories(whole, histories.ts_ms).where(~held).affinities
    wanted = histories.where(held & sampled[user]).affinities
    changed = np.unique(user[held])
    return Holdout(
        histories.where(~held),
        stored[~held],
        without(streamed, whole[changed], rest[changed]),
        csr_array((np.ones(wanted.nnz), wanted.indices, wanted.indptr), wanted.shape),
    )


def _after_a_moment(histories: Histories) -> npt.NDArray[np.bool_]:
    """Return (entries,) whether each is among the latest quarter of all."""
    ts_ms = histories.ts_ms
    if not len(ts_ms):
        return np.zeros(0, np.bool_)
    moment = np.quantile(ts_ms, 1 - HELD_OUT, method="lower")
    after: npt.NDArray[np.bool_] = ts_ms > moment
    return after


def _is_first_quarter(histories: Histories, by: npt.NDArray[np.number]) -> npt.NDArray[np.bool_]:
    """Return (entries,) whether each is among the first quarter of its user's by a number."""
    user, degrees = histories.users_of_entries(), histories.degrees
    order = np.lexsort((histories.affinities.indices, by, user))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(histories.affinities.indptr[:-1], degrees)
    first: npt.NDArray[np.bool_] = place < np.rint(degrees * HELD_OUT)[user]
    return first
