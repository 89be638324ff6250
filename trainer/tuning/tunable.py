"""What can be tuned: something that recommends, with settings that may vary."""

from dataclasses import dataclass
from typing import Any, Protocol

from rich.progress import Progress

from trainer.evaluation.contenders import contender
from trainer.evaluation.holdout import Holdout
from trainer.evaluation.recommending import Recommended
from trainer.settings import TrainerSettings
from trainer.stages import Stages
from trainer.tuning.space import SPACES, Space

Values = dict[str, Any]
"""Settings by name; those that are missing are as they were."""


class Tunable(Protocol):
    """A model of ours, or of somebody else's."""

    @property
    def name(self) -> str:
        """As it stands in tables."""
        ...

    @property
    def space(self) -> Space:
        """What is searched; empty if there is nothing to set."""
        ...

    def values(self, changed: Values) -> Values:
        """Return all settings, those in `changed` in the place of what they were."""
        ...

    def recommend(self, changed: Values, holdout: Holdout, n: int) -> Recommended:
        """Return lists of n, with some settings changed."""
        ...


@dataclass(frozen=True, slots=True)
class TunableModel:
    """A model of the registry, with the settings of the trainer."""

    name: str
    settings: TrainerSettings

    @property
    def space(self) -> Space:
        """Names are those of the trainer's settings."""
        return SPACES.get(self.name, {})

    def values(self, changed: Values) -> Values:
        """Return the trainer's settings that are in the space, as far as they are not changed."""
        return {name: getattr(self.settings, name) for name in self.space} | changed

    def recommend(self, changed: Values, holdout: Holdout, n: int) -> Recommended:
        """Return the lists that would be served.

        Raises:
            ValidationError: a setting is out of its bounds.
        """
        settings = TrainerSettings.model_validate(self.settings.model_dump() | changed)
        stages = Stages(lambda: None, Progress(disable=True))
        return contender(self.name, settings).recommend(holdout, n, stages)
