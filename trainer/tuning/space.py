"""Which settings of a model are searched, and how far, as Optuna knows it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from contracts.fold_in import ITEMS_MOST
from trainer.models import MODELS, settings_part
from trainer.models.interface import Range

Space = Mapping[str, BaseDistribution]
"""Settings of `TrainerSettings`, by name."""

# Shorter lists fold in less noise and longer ones reach further: models differ in what they like.
# The API serves up to 10 neighbors unless asked for more, so a list has no fewer.
_NEIGHBORS: Final = Range(10, 400, log=True, whole=True)
_LONG_DAYS: Final = 36_500
ENDLESS: Final = MappingProxyType(
    {"counts_half_life_days": _LONG_DAYS, "fold_in_half_life_items": ITEMS_MOST}
)
"""What means the same as 0, or nearly so, within the space."""

_COUNTED: Final = MappingProxyType(
    {
        "neighbors_per_item": _NEIGHBORS,
        "counts_user_weight_exponent": Range(0, 1),
        "counts_half_life_days": Range(1, _LONG_DAYS, log=True),
        "fold_in_half_life_items": Range(0.5, ITEMS_MOST, log=True),
    }
)
"""Of every item model."""


def space_of(model: str) -> Space:
    """Return what is searched for a model of `MODELS`, empty if nothing is.

    >>> space_of("user-knn")
    {'user_knn_k': IntDistribution(high=500, log=True, low=5, step=1)}
    """
    entry = MODELS[model]
    own = {f"{settings_part(model)}_{name}": of for name, of in entry.space.items()}
    ranges = {**(_COUNTED if entry.of == "items" else {}), **own}
    return {name: _distribution(of) for name, of in ranges.items()}


def _distribution(of: Range) -> BaseDistribution:
    if of.whole:
        return IntDistribution(int(of.low), int(of.high), log=of.log)
    return FloatDistribution(of.low, of.high, log=of.log)
