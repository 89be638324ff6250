"""The question: which events are for training, and which for testing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from contracts.event_types import BUILT_IN
from trainer.evaluation.files import read_interactions
from trainer.evaluation.interactions import Interactions, Mask, Split, Splitting
from trainer.evaluation.splits import by_folds, last, per_user, temporal

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
