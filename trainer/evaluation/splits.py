"""Three ways to split off test events for models to predict, and folds of users. Pure."""

from collections.abc import Callable, Iterator
from hashlib import blake2b

import numpy as np
import pandas as pd

from contracts.messages import Ints
from trainer.evaluation.interactions import Interactions, Mask, Split, UserIds
from trainer.evaluation.worker import counting


class SplitError(ValueError):
    """Nothing is left on one side."""


def temporal(interactions: Interactions, test_share: float) -> Split:
    """Return what was done before a moment, and what was done from then on.

    The moment is the time of the event that has `1 - test_share` of the events before it; events
    of the same millisecond stay on one side. This is how a model is used: what it learns from is
    over before it recommends.

    Raises:
        SplitError: all events are of the same time.
    """
    order = np.sort(interactions.ts_ms)
    moment = order[min(int(len(order) * (1 - test_share)), len(order) - 1)]
    before = interactions.ts_ms < moment
    if not before.any():
        raise SplitError(
            f"no event is earlier than {moment} ms: take a greater --test-share, or per-user"
        )
    return Split(interactions.where(before), interactions.where(~before))


def per_user(
    interactions: Interactions, test_share: float, seed: int, among: Mask | None = None
) -> Split:
    """Return all but a random share of each user's items, and these.

    A user's share is rounded to whole items, half to even: someone with a single item keeps it.
    All events of a user with an item are on one side, so that nothing to be found was seen.

    Args:
        interactions: what users did.
        test_share: of each user's items.
        seed: of the draw.
        among: (n_events,) those that may be hidden; without it all.

    Raises:
        SplitError: nobody has enough items for any to be hidden.
    """
    events, counts = _frame(interactions)
    pairs = events[counts].drop_duplicates()
    by_user = pairs.groupby("user", sort=False)["item"]
    random = pd.Series(np.random.default_rng(seed).random(len(pairs)), index=pairs.index)
    rank = random.groupby(pairs["user"], sort=False).rank(method="first")
    hidden = rank <= np.rint(by_user.transform("size") * test_share)
    if not hidden.any():
        raise SplitError(
            f"nobody has the items for a test share of {test_share}: take a greater --test-share"
        )
    of_event = events.merge(pairs.assign(hidden=hidden), on=["user", "item"], how="left")
    test = of_event["hidden"].eq(True).to_numpy(bool)  # noqa: FBT003 (rejected items have NA)
    return _split(interactions, test, among, at_random=True)


def last(interactions: Interactions, among: Mask | None = None) -> Split:
    """Return all but each user's latest item, and these: "leave one out", as the literature does.

    An item is as late as its last event; of items of one time, those with smaller ids are later, as
    in `contracts.fold_in`. All events of a user with an item are on one side, and someone with a
    single item keeps it.

    Args:
        interactions: what users did.
        among: (n_events,) those that may be hidden; without it all.

    Raises:
        SplitError: nobody has two items.
    """
    events, counts = _frame(interactions)
    times = events[counts].assign(ts_ms=interactions.ts_ms[counts])
    pairs = times.groupby(["user", "item"], sort=False).max()
    in_order = pairs.reset_index().sort_values(["ts_ms", "item"], ascending=[True, False])
    by_user = in_order.groupby("user", sort=False)["item"]
    is_last = (by_user.cumcount(ascending=False) == 0) & (by_user.transform("size") > 1)
    if not is_last.any():
        raise SplitError("nobody has two items, one of which could be hidden")
    latest = in_order[is_last].set_index("user")["item"]
    test = (events["user"].map(latest) == events["item"]).to_numpy(bool)
    return _split(interactions, test, among)


def by_folds(
    interactions: Interactions, n: int, seed: int, split: Callable[[Mask], Split]
) -> Iterator[Split]:
    """Yield n splits for cross-validation by user: each hides items of the users of one fold.

    What is hidden of a user is the same as without folds. Models learn from what the fold's users
    keep and from all that the others did. A user's fold is a hash of the seed and the id.

    Args:
        interactions: what users did.
        n: how many folds.
        seed: of the hash.
        split: splits the events, of which only those that a mask is true for may be hidden.

    Source: the user-based cross-validation of LensKit (`crossfold_users`): Ekstrand, "LensKit for
    Python", CIKM 2020.
    """
    fold = folds_of(interactions.users, n, seed)
    for k in range(n):
        yield split(fold == k)


def folds_of(users: UserIds, n: int, seed: int) -> Ints:
    """Return (n_events,) which of n folds the user of each event is in, from 0."""
    names, name = np.unique(users, return_inverse=True)
    digests = (blake2b(f"{seed}/{user}".encode(), digest_size=8).digest() for user in names)
    folds: Ints = np.array([int.from_bytes(digest, "big") % n for digest in digests], np.int64)[
        name
    ]
    return folds


def _split(
    interactions: Interactions, test: Mask, among: Mask | None, *, at_random: bool = False
) -> Split:
    if among is not None:
        test = test & among
    return Split(interactions.where(~test), interactions.where(test), at_random)


def _frame(interactions: Interactions) -> tuple[pd.DataFrame, Mask]:
    """Return the user and item of each event, and which count: rejected items are not hidden."""
    events = pd.DataFrame({"user": interactions.users, "item": interactions.items})
    return events, counting(events.assign(weight=interactions.weights))
