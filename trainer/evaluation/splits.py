"""Three ways to split off test events for models to predict. Pure."""

import numpy as np
import pandas as pd

from trainer.evaluation.interactions import Interactions, Mask, Split
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


def per_user(interactions: Interactions, test_share: float, seed: int) -> Split:
    """Return all but a random share of each user's items, and these.

    A user's share is rounded to whole items, half to even: someone with a single item keeps it.
    All events of a user with an item are on one side, so that nothing to be found was seen.

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
    return Split(interactions.where(~test), interactions.where(test), at_random=True)


def last(interactions: Interactions) -> Split:
    """Return all but each user's latest item, and these: "leave one out", as the literature does.

    An item is as late as its last event; of items of one time, those with smaller ids are later, as
    in `contracts.fold_in`. All events of a user with an item are on one side, and someone with a
    single item keeps it.

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
    return Split(interactions.where(~test), interactions.where(test))


def _frame(interactions: Interactions) -> tuple[pd.DataFrame, Mask]:
    """Return the user and item of each event, and which count: rejected items are not hidden."""
    events = pd.DataFrame({"user": interactions.users, "item": interactions.items})
    return events, counting(events.assign(weight=interactions.weights))
