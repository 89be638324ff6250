"""A model with the trainer's settings, fitted to a hold-out and asked for its lists."""

from dataclasses import dataclass

from trainer.evaluation.holdout import Holdout
from trainer.evaluation.recommending import (
    Recommended,
    from_item_lists,
    from_popular,
    from_user_lists,
    lists_of,
    row_blocks,
)
from trainer.models import ITEM_MODELS, Model
from trainer.models.making import model_of
from trainer.settings import TrainerSettings
from trainer.stages import Stages

POPULAR = "popular"


@dataclass(frozen=True, slots=True)
class Contender:
    """A model of the registry as the trainer would make it."""

    name: str
    model: Model
    settings: dict[str, object]

    def recommend(self, holdout: Holdout, n: int, stages: Stages) -> Recommended:
        """Return the lists of n that the model's users would be shown."""
        of_items = self.name in ITEM_MODELS
        with stages.timed(f"fit {self.name}"):
            counted = of_items or self.name == POPULAR
            ranker = self.model.fit(holdout.gram if counted else holdout.train)
        with stages.timed(f"rank {self.name}"):
            of_rows = stages.each(row_blocks(ranker), f"{self.name} lists")
            lists = lists_of(ranker, holdout.train.shape[1], of_rows)
        with stages.timed(f"recommend {self.name}"):
            if of_items:
                return from_item_lists(holdout, lists, n)
            return (from_popular if self.name == POPULAR else from_user_lists)(holdout, lists, n)


def contender(name: str, settings: TrainerSettings) -> Contender:
    """Return a model of the registry with the trainer's settings."""
    return Contender(name, model_of(name, settings), settings.of_models()[name])
