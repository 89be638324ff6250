"""What can be tuned: something that recommends, with settings that may vary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rich.progress import Progress

from trainer.evaluation.contenders import contender
from trainer.judging.holdout import Holdout
from trainer.judging.recommending import Recommended
from trainer.models import MODELS
from trainer.models.interface import Values
from trainer.settings import TrainerSettings
from trainer.settings_file import changed as with_values
from trainer.settings_file import flat
from trainer.stages import Stages
from trainer.tuning.space import ENDLESS, Space, space_of


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

    @property
    def fixed(self) -> Mapping[str, Any]:
        """What else it is set to."""
        ...

    def values(self, changed: Values) -> Values:
        """Return all settings, those in `changed` in the place of what they were."""
        ...

    def recommend(self, changed: Values, holdout: Holdout, n: int) -> Recommended:
        """Return lists of n, with some settings changed."""
        ...


@dataclass(frozen=True, slots=True)
class TunableModel:
    """A model of the registry with the settings of the trainer, or `auto`, which tunes itself."""

    name: str
    settings: TrainerSettings

    @property
    def space(self) -> Space:
        """Names are those of the trainer's settings."""
        return space_of(self.name) if self.name in MODELS else {}

    @property
    def fixed(self) -> Values:
        """The trainer's settings that are not searched."""
        values = flat(self.settings.of_generation())
        return {name: value for name, value in values.items() if name not in self.space}

    def values(self, changed: Values) -> Values:
        """Return the trainer's settings that are in the space, as far as they are not changed."""
        now = flat(self.settings.of_generation())
        return {name: now[name] or ENDLESS.get(name, 0) for name in self.space} | changed

    def recommend(self, changed: Values, holdout: Holdout, n: int) -> Recommended:
        """Return the lists that would be served.

        Raises:
            ValidationError: a setting is out of its bounds.
        """
        settings = with_values(self.settings, changed)
        stages = Stages(lambda: None, Progress(disable=True))
        made, _ = contender(self.name, settings, holdout, stages)
        return made.recommend(holdout, n, stages)
