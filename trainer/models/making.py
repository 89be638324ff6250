"""Makes models out of the trainer's settings."""

from trainer.models import MODELS, Model
from trainer.settings import TrainerSettings


def model_of(name: str, settings: TrainerSettings) -> Model:
    """Return the model of `MODELS` that is called `name`, as the trainer is set.

    >>> model_of("popular", TrainerSettings(popular_items=7))
    Popular(config=PopularConfig(items=7))
    """
    kind = MODELS[name]
    return kind.model(kind.config(**settings.of_models()[name]))
