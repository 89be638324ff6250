"""Two ways to split off test events for models to predict. Pure."""

import numpy as np
import pandas as pd

from trainer.evaluation.interactions import Interactions, Split


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
    events = pd.DataFrame({"user": interactions.users, "item": interactions.items})
    pairs = events.drop_duplicates()
    by_user = pairs.groupby("user", sort=False)["item"]
    random = pd.Series(np.random.default_rng(seed).random(len(pairs)), index=pairs.index)
    rank = random.groupby(pairs["user"], sort=False).rank(method="first")
    hidden = rank <= np.rint(by_user.transform("size") * test_share)
    if not hidden.any():
        raise SplitError(
            f"nobody has the items for a test share of {test_share}: take a greater --test-share"
        )
    of_event = events.merge(pairs.assign(hidden=hidden), on=["user", "item"], how="left")
    test = of_event["hidden"].to_numpy(bool)
    return Split(interactions.where(~test), interactions.where(test), at_random=True)
