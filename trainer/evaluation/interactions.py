"""What users did, as columns, and how workers would fold it."""

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from contracts.messages import Floats, Ints
from runtime.settings import FoldingSettings

Texts = npt.NDArray[np.object_]
UserIds = Texts
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Events as columns of one length, in the order of their file."""

    ts_ms: Ints
    """event time, epoch ms"""
    users: UserIds
    items: Ints
    """instrument ids"""
    events: Texts
    """their types"""
    weights: Floats
    """of their types"""
    values: Floats
    """price x quantity of the transaction, NaN if it has none"""

    def __len__(self) -> int:
        return len(self.ts_ms)

    def where(self, kept: Mask) -> "Interactions":
        """Return the events that `kept`, of the same length, is true for."""
        return Interactions(
            self.ts_ms[kept],
            self.users[kept],
            self.items[kept],
            self.events[kept],
            self.weights[kept],
            self.values[kept],
        )


class Splitting(enum.StrEnum):
    """How events are split, see `trainer.evaluation.splits`."""

    TEMPORAL = "temporal"
    PER_USER = "per-user"
    LAST = "last"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Events to learn from, and events to predict."""

    train: Interactions
    test: Interactions
    at_random: bool = False
    """what is to be predicted was hidden at random, not the latest"""


class WorkerRules(FoldingSettings):
    """The workers' settings that fold events, without the environment's other ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")
