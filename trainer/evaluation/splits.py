"""Which events are for training, and which for testing: three splits, and folds of users."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from contracts.event_types import BUILT_IN
from contracts.messages import Ints
from trainer.evaluation.files import read_interactions
from trainer.evaluation.interactions import Interactions, Mask, Split, Splitting, UserIds


class SplitError(ValueError):
    """Nothing is left on one side."""


def temporal(interactions: Interactions, test_share: float) -> Split:
    """Split interactions at a moment, into those before it and those from then on.

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
    events, counts = frame_of(interactions)
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
    events, counts = frame_of(interactions)
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


def frame_of(interactions: Interactions) -> tuple[pd.DataFrame, Mask]:
    """Return the user and item of each event, and which count, as they are in the log's order.

    Those that count come after the user's last rejection of their item: rejected ones are not
    hidden, and not to be found.
    """
    events = pd.DataFrame({"user": interactions.users, "item": interactions.items})
    places, rejects = np.arange(len(events)), interactions.weights <= 0
    rejected = events.assign(place=np.where(rejects, places, -1))
    last = rejected.groupby(["user", "item"], sort=False)["place"].transform("max")
    return events, places > last.to_numpy()


LATER: Final = 0.5
"""Share of the items to be found that were taken after all that is known of their users, if that
was the question; of a random quarter, one in four or fewer were."""


class QuestionError(ValueError):
    """The files do not form a question."""


@dataclass(frozen=True, slots=True)
class Question:
    """One file that is split, or two that were."""

    interactions: Path | None
    train: Path | None
    test: Path | None
    splitting: Splitting
    test_share: float
    seed: int
    """of a random split, and of the folds"""
    event_weights: Mapping[str, float] = field(default_factory=lambda: BUILT_IN)
    """of each type of event"""
    folds: int = 1
    """of users, for cross-validation; 1: none"""

    def __str__(self) -> str:
        """Return the files and the split in words."""
        if self.interactions is None:
            return f"{_name(self.train)} and then {_name(self.test)}"
        of = f"{self.interactions.name}, {self.splitting} split"
        if self.splitting is not Splitting.LAST:
            of += f", test share {self.test_share:g}"
        return of if self.folds == 1 else f"{of}, {self.folds} folds of users"

    def splits(self) -> Iterator[Split]:
        """Read the files and yield what they are split into, once for each fold.

        Raises:
            QuestionError: neither one file nor two were given, or they have no folds.
            FileError: a file cannot be used.
            SplitError: nothing is left on one side.
        """
        if self.folds == 1:
            yield self.split()
            return
        if not self.interactions or self.train or self.test or self.splitting is Splitting.TEMPORAL:
            raise QuestionError(
                "--folds divides the users of --interactions FILE, split per-user or last: a "
                "moment is the same for all users"
            )
        events = self._read(self.interactions)
        yield from by_folds(
            events, self.folds, self.seed, lambda among: self._split_events(events, among)
        )

    def split(self) -> Split:
        """Read the files and return what they are split into.

        Raises:
            QuestionError: neither one file nor two were given.
            FileError: a file cannot be used.
            SplitError: nothing is left on one side.
        """
        if self.interactions and not self.train and not self.test:
            return self._split_events(self._read(self.interactions))
        if self.train and self.test and not self.interactions:
            learned, asked = self._read(self.train), self._read(self.test)
            return Split(learned, asked, at_random=_overlap(learned, asked))
        raise QuestionError("give either --interactions FILE or both --train FILE and --test FILE")

    def _split_events(self, events: Interactions, among: Mask | None = None) -> Split:
        match self.splitting:
            case Splitting.TEMPORAL:
                return temporal(events, self.test_share)
            case Splitting.PER_USER:
                return per_user(events, self.test_share, self.seed, among)
            case Splitting.LAST:
                return last(events, among)

    def _read(self, path: Path) -> Interactions:
        return read_interactions(path, self.event_weights)


def _overlap(learned: Interactions, asked: Interactions) -> bool:
    """Return whether users took what is asked among what is known of them, not after it.

    Then the split was at random; this is judged by the times of items' last events only.
    """
    known = pd.Series(learned.ts_ms).groupby(learned.users).max()
    taken = pd.Series(asked.ts_ms).groupby([asked.users, asked.items]).max()
    before = known.reindex(taken.index.get_level_values(0)).to_numpy(np.float64)
    later = taken.to_numpy()[~np.isnan(before)] >= before[~np.isnan(before)]
    return bool(len(later) and later.mean() < LATER)


def _name(path: Path | None) -> str:
    return path.name if path else "no file"
