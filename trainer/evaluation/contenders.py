"""A model with the trainer's settings, fitted to a hold-out to make its lists."""

from dataclasses import dataclass, field
from typing import Any

from trainer.counts.derived import counts_of
from trainer.counts.matrices import Matrix
from trainer.judging.found import Found
from trainer.judging.holdout import Holdout
from trainer.judging.recommending import (
    Recommended,
    continued,
    from_item_lists,
    from_user_lists,
    lists_of,
    row_blocks,
)
from trainer.models import MODELS, USER_KNN
from trainer.selection.auto import find
from trainer.selection.popular import popular_lists
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages


@dataclass(frozen=True, slots=True)
class Contender:
    """A model of the registry as the trainer would make it, or what `auto` chooses."""

    name: str
    settings: TrainerSettings
    found: Found | None = field(default=None, compare=False)
    """what `auto` found out, if it chose the model"""

    @property
    def described(self) -> dict[str, Any]:
        """The settings that distinguish it: of its model, or those that `auto` chose."""
        if self.found is not None:
            return dict(self.found.values)
        return dict(self.settings.config(self.name))

    def recommend(self, holdout: Holdout, n: int, stages: Stages) -> Recommended:
        """Return the lists of n that the model's users would be shown."""
        with stages.timed("popular"):
            popular = popular_lists(holdout, self.settings.config("popular"), n)
        of = MODELS[self.name].of
        if of == "everybody":
            return popular
        with stages.timed("fit"):
            ranker = self.settings.model(self.name).fit(self._matrix(holdout))
        with stages.timed("rank"):
            of_rows = stages.each(row_blocks(ranker.n_rows), f"{self.name} lists")
            lists = lists_of(ranker, holdout.train.shape[1], of_rows)
        with stages.timed("recommend"):
            if of == "users":
                return continued(from_user_lists(holdout, lists, n), popular)
            return continued(from_item_lists(holdout, lists, self.settings.fold_in, n), popular)

    def _matrix(self, holdout: Holdout) -> Matrix:
        if MODELS[self.name].of == "users":
            return holdout.stored_rows
        counting = self.settings.counting(self.name)
        return counts_of(holdout.histories, holdout.streamed, counting)


def contender(name: str, settings: TrainerSettings, holdout: Holdout, stages: Stages) -> Contender:
    """Return a model of the registry with the trainer's settings.

    `auto` is the one that it chooses on the training data, without looking at the test data. It
    holds out what the test data does: the last items, or some at random.
    """
    if name != AUTO:
        return Contender(name, settings)
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
    return Contender(made_by, chosen, found)
