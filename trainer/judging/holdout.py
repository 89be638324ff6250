"""What there is to learn from and what is to be found, by holding out a part of histories. Pure.

What is to be found is what a user had not had before: serving leaves out the rest. So the first
event with an item decides, not the last. An affinity that is a sum of events is held out or kept
whole, with those that came later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from contracts.fold_in import FoldIn
from contracts.messages import Floats, Ints
from contracts.pointer import draw
from trainer.counts.derived import Histories, without
from trainer.counts.matrices import Matrix, entry_rows, ranges

LEAST_ITEMS: Final = 4
"""Of a history, for any of it to be held out: a quarter is, so one item or more."""
HELD_OUT: Final = 0.25
COMING_BACK: Final = 0.25
"""Share of the users with enough items who must have some before and after a moment."""


@dataclass(frozen=True, slots=True, eq=False)
class Holdout:
    """Users' training histories and held-out items; rows are the same users everywhere."""

    histories: Histories
    """of (n_users, n_items), to learn from; these items are not recommended again"""
    stored: Floats
    """(entries,) their affinities as stored in Redis, users' scales included"""
    streamed: Matrix
    """(n_items, n_items) G as the workers keep it, of nothing that is to be found"""
    test: Matrix
    """(n_users, n_items) above 0 where an item is to be found; never where a history has it"""
    again: Matrix
    """(n_users, n_items) above 0 where a user took an item of the history again, as far as known"""
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

    @property
    def stored_rows(self) -> Matrix:
        """(n_users, n_items) the affinities of what users have, as in Redis."""
        found = self.train
        return csr_array((self.stored, found.indices, found.indptr), found.shape)


def folded_in(histories: Histories, users: Ints, fold_in: FoldIn) -> Matrix:
    """Return w_ui, (len(users), n_items), of what is folded in of some users' histories.

    The rule of `contracts.fold_in`: of items of one time, those with smaller ids are later.
    """
    rows = histories.affinities[users]
    lengths = np.diff(rows.indptr)
    entries = ranges(histories.affinities.indptr[users], lengths)
    ts_ms = histories.ts_ms[entries]
    user = entry_rows(rows.indptr)
    latest = np.zeros(len(users), np.int64)
    np.maximum.at(latest, user, ts_ms)
    positions = np.zeros(len(ts_ms), np.int64)
    if fold_in.half_life_items or lengths.max(initial=0) > fold_in.items:
        order = np.lexsort((rows.indices, -ts_ms, user))
        positions[order] = np.arange(len(order)) - np.repeat(rows.indptr[:-1], lengths)
    data = fold_in.weights(rows.data, latest[user] - ts_ms, positions)
    data = np.where(positions < fold_in.items_most, data, 0)
    made: Matrix = csr_array((data, rows.indices, rows.indptr), rows.shape)
    made.eliminate_zeros()
    return made


def hold_out(
    histories: Histories,
    stored: Floats,
    streamed: Matrix,
    users_most: int,
    seed: int,
    *,
    at_random: bool = False,
) -> Holdout:
    """Hold out the latest new items of some users, and remove them from histories and G.

    The split is at a point in time, if enough users took something new before and after it: then
    everything that these users took afterwards is held out, since a recommender does not know it
    either. What users took whose histories are not given stays in G.
    Where users come and go, it is the latest quarter of each user's items, and what was taken at
    the same time as any of these: one visit is not split. Where times mean nothing, it is.

    Args:
        histories: of (n_users, n_items).
        stored: (entries,) their affinities as the workers have them, users' scales included.
        streamed: (n_items, n_items) G as the workers keep it.
        users_most: how many users are asked for what is held out, drawn from those who can be.
        seed: of the draw.
        at_random: hide a random quarter of each user's items instead, as a benchmark may ask.
    """
    user, degrees = histories.users_of_entries(), histories.degrees
    since_ms = histories.since_ms
    moment = np.quantile(since_ms, 1 - HELD_OUT, method="lower") if len(since_ms) else 0
    after = since_ms > moment
    n_after = np.bincount(user[after], minlength=len(degrees))
    both = (n_after > 0) & (n_after < degrees)
    back = both.sum() >= COMING_BACK * max((degrees >= LEAST_ITEMS).sum(), 1)
    is_temporal = bool(back) and not at_random
    first = np.random.default_rng(seed).random(len(user)) if at_random else -since_ms
    latest = _is_first_quarter(histories, first)
    if not at_random:
        latest = _with_whole_visits(histories, latest)
    n_latest = np.bincount(user[latest], minlength=len(degrees))
    is_able = both if is_temporal else (n_latest > 0) & (degrees >= LEAST_ITEMS)
    order = drawn(histories.names, str(seed))
    sampled = np.zeros(len(degrees), np.bool_)
    sampled[order[is_able[order]][:users_most]] = True
    held = after if is_temporal else sampled[user] & latest
    found = histories.affinities
    whole: Matrix = csr_array((stored, found.indices, found.indptr), found.shape)
    rest = Histories(whole, histories.ts_ms).where(~held).affinities
    wanted = histories.where(held & sampled[user]).affinities
    changed = np.unique(user[held])
    if is_temporal:
        until_ms = np.full(len(user), moment)
    else:
        is_split = sampled[user] & (not at_random)
        until_ms = np.where(is_split, _latest_of_each(histories, ~held)[user], histories.ts_ms)
    again = histories.where(~held & sampled[user] & (histories.ts_ms > until_ms)).affinities
    return Holdout(
        as_of(histories, until_ms).where(~held),
        stored[~held],
        without(streamed, whole[changed], rest[changed]),
        _ones(wanted),
        _ones(again),
    )


def _ones(cells: Matrix) -> Matrix:
    return csr_array((np.ones(cells.nnz), cells.indices, cells.indptr), cells.shape)


def drawn(users: Sequence[str], salt: str) -> Ints:
    """Return (n_users,) places of users, ordered by a hash of salt and id alone.

    So the first ones are a random sample, and mostly the same ones later.
    """
    return np.argsort([draw(f"{salt}/{user}") for user in users]).astype(np.int64)


def _with_whole_visits(
    histories: Histories, latest: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return the latest entries with all that were taken at the same time as one of them.

    Of users who then have nothing before it, nothing; if these are nearly all, `latest` as it is.
    """
    user, degrees, since_ms = histories.users_of_entries(), histories.degrees, histories.since_ms
    start_ms = np.full(len(degrees), np.iinfo(np.int64).max)
    np.minimum.at(start_ms, user[latest], since_ms[latest])
    whole = since_ms >= start_ms[user]
    n_whole = np.bincount(user[whole], minlength=len(degrees))
    has_both = (n_whole > 0) & (n_whole < degrees) & (degrees >= LEAST_ITEMS)
    if has_both.sum() < COMING_BACK * (degrees >= LEAST_ITEMS).sum():
        return latest
    found: npt.NDArray[np.bool_] = whole & has_both[user]
    return found


def as_of(histories: Histories, until_ms: Ints | int) -> Histories:
    """Histories as known at `until_ms`, one time or (entries,): later events are forgotten."""
    ts_ms = known_ms(histories.ts_ms, histories.since_ms, until_ms)
    return Histories(histories.affinities, ts_ms, histories.since_ms)


def known_ms(ts_ms: Ints, first_ms: Ints, until_ms: Ints | int) -> Ints:
    """Return (entries,) the last event's time until some time, as far as is known.

    Of what came again after it, only the first event is sure to have been before.
    """
    return np.where(ts_ms <= until_ms, ts_ms, first_ms)


def _latest_of_each(histories: Histories, among: npt.NDArray[np.bool_]) -> Ints:
    """Return (n_users,) when each first had the latest of some items, `among` the entries."""
    found = np.zeros(len(histories.degrees), np.int64)
    np.maximum.at(found, histories.users_of_entries()[among], histories.since_ms[among])
    return found


def _is_first_quarter(histories: Histories, by: npt.NDArray[np.number]) -> npt.NDArray[np.bool_]:
    """Return (entries,) whether each is among the first quarter of its user's by a number."""
    user, degrees = histories.users_of_entries(), histories.degrees
    order = np.lexsort((histories.affinities.indices, by, user))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(histories.affinities.indptr[:-1], degrees)
    first: npt.NDArray[np.bool_] = place < np.rint(degrees * HELD_OUT)[user]
    return first


def unseen(wanted: Matrix, seen: Matrix) -> Matrix:
    """The entries of `wanted` in cells that `seen` does not have."""
    pattern = csr_array((np.ones(seen.nnz), seen.indices, seen.indptr), shape=seen.shape)
    left: Matrix = csr_array(wanted - wanted * pattern)
    left.eliminate_zeros()
    left.sort_indices()
    return left
