"""A model with the trainer's settings, fitted to a hold-out to make its lists."""

from dataclasses import dataclass
from typing import Any

from trainer.judging.holdout import Holdout
from trainer.judging.recommending import (
    Recommended,
    from_item_lists,
    from_popular,
    from_user_lists,
    lists_of,
    row_blocks,
)
from trainer.models import MODELS, USER_KNN
from trainer.models.popular import recent_counts
from trainer.selection.auto import find
from trainer.selection.half_life import half_life_of
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages


@dataclass(frozen=True, slots=True)
class Contender:
    """A model of the registry as the trainer would make it, or what `auto` chooses."""

    name: str
    settings: TrainerSettings

    def recommend(self, holdout: Holdout, n: int, stages: Stages) -> Recommended:
        """Return the lists of n that the model's users would be shown."""
        with stages.timed("fit"):
            ranker = self.settings.model(self.name).fit(self._matrix(holdout))
        with stages.timed("rank"):
            of_rows = stages.each(row_blocks(ranker), f"{self.name} lists")
            lists = lists_of(ranker, holdout.train.shape[1], of_rows)
        with stages.timed("recommend"):
            of = MODELS[self.name].of
            if of == "items":
                return from_item_lists(holdout, lists, self.settings.fold_in, n)
            return (from_user_lists if of == "users" else from_popular)(holdout, lists, n)

    def _matrix(self, holdout: Holdout) -> Any:
        of = MODELS[self.name].of
        if of == "items":
            return holdout.counts(self.settings.counting(self.name))
        if of == "users":
            return holdout.stored_rows
        days = half_life_of(self.settings.config(self.name), holdout.histories, holdout.stored)
        return recent_counts(holdout.histories, holdout.stored, holdout.streamed, days)


def contender(
    name: str, settings: TrainerSettings, holdout: Holdout, stages: Stages
) -> tuple[Contender, dict[str, Any]]:
    """Return a model of the registry with the trainer's settings, and what is to be known of these.

    `auto` is the one that it chooses on the training data, without looking at the test data. It
    holds out what the test data does: the last items, or some at random.
    """
    if name != AUTO:
        return Contender(name, settings), settings.config(name).model_dump()
    with stages.timed("choose"):
        found = find(
            holdout.histories,
            holdout.stored,
            holdout.streamed,
            settings,
            stages,
            at_random=holdout.at_random,
        )
    chosen = changed(settings, found.values)
    made_by = USER_KNN if chosen.user_model == USER_KNN else chosen.item_model
    return Contender(made_by, chosen), dict(found.values)
