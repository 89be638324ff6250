"""Which settings of each model are searched, and how far."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

Space = Mapping[str, BaseDistribution]
"""Settings of `TrainerSettings`, by name."""

# Shorter lists fold in less noise and longer ones reach further: models differ in what they like.
# The API serves up to 10 neighbors unless asked for more, so a list has no fewer.
_NEIGHBORS: Final = IntDistribution(10, 400, log=True)
_LONG_DAYS: Final = 36_500
ENDLESS: Final = MappingProxyType({"counts_half_life_days": _LONG_DAYS})
"""What means the same as 0, or nearly so, within the space."""

_COUNTED: Final[Space] = MappingProxyType(
    {
        "neighbors_per_item": _NEIGHBORS,
        "counts_user_weight_exponent": FloatDistribution(0, 0.75),
        "counts_half_life_days": FloatDistribution(1, _LONG_DAYS, log=True),
    }
)
"""Of every item model."""

SPACES: Final[Mapping[str, Space]] = MappingProxyType(
    {
        "cosine": {
            **_COUNTED,
            "cosine_shrinkage": FloatDistribution(0, 10),
            "cosine_popularity_damping": FloatDistribution(0, 1),
        },
        "ease": {
            **_COUNTED,
            "ease_regularization": FloatDistribution(0.3, 300, log=True),
            "ease_own_damping": FloatDistribution(0, 1),
            "ease_popularity_damping": FloatDistribution(0, 0.6),
        },
        "user-knn": {"user_knn_k": IntDistribution(5, 500, log=True)},
    }
)
"""By model. `popular` has nothing to search, and `auto` searches by itself."""
