"""What all generations of a run are made from. Pure."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from contracts.messages import Floats, Ints
from trainer.counts.derived import Histories
from trainer.counts.matrices import Gram, UserItems
from trainer.generations.report import Data, Inputs
from trainer.quality.checking import Checked


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What all generations of a run are made from."""

    gram: Gram
    user_items: UserItems
    histories: Histories
    """of the same users, with a column for each item of `gram`"""
    stored: Floats
    """(entries,) their affinities as stored in Redis, users' scales included"""
    inputs: Inputs
    checked: list[Checked]
    started: datetime
    seconds: dict[str, float]
    """stage -> time that it took up to here"""

    @property
    def corrupt(self) -> list[str]:
        """`key: problem` of the first values that were left out."""
        return [*self.gram.corrupt, *self.user_items.corrupt]

    @property
    def n_corrupt(self) -> int:
        """How many values were left out."""
        return self.gram.n_corrupt + self.user_items.n_corrupt


def data_of(gram: Gram, user_items: UserItems) -> Data:
    """Return how much there was to learn from."""
    own = gram.counts.diagonal()
    others: Ints = np.diff(gram.counts.indptr) - (own > 0)
    return Data(
        items=len(gram.items),
        pairs=int(others.sum()) // 2,
        items_of_one_user=int((own == 1).sum()),
        items_alone=int((others == 0).sum()),
        users=len(user_items.users),
        affinities=user_items.affinities.nnz,
        own_counts=float(own.sum()),
        latest_ms=int(user_items.ts_ms.max(initial=0)),
    )
