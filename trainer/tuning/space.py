"""Which settings of each model are searched, and how far."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

Space = Mapping[str, BaseDistribution]
"""Settings of `TrainerSettings`, by name."""

# Shorter lists fold in less noise and longer ones reach further: models differ in what they like.
# The API serves up to 10 neighbors unless asked for more, so a list has no fewer.
_NEIGHBORS: Final = MappingProxyType({"neighbors_per_item": IntDistribution(10, 400, log=True)})

SPACES: Final[Mapping[str, Space]] = MappingProxyType(
    {
        "cosine": {
            **_NEIGHBORS,
            "cosine_shrinkage": FloatDistribution(0.01, 1_000, log=True),
            "cosine_popularity_damping": FloatDistribution(0, 1),
        },
        "ease": {
            "ease_regularization": FloatDistribution(0.05, 50, log=True),
            # Its lists are of these, so they need no length of their own.
            "ease_neighborhood": IntDistribution(10, 200, log=True),
        },
        "rp3beta": {
            **_NEIGHBORS,
            "rp3beta_alpha": FloatDistribution(0.1, 2),
            "rp3beta_beta": FloatDistribution(0, 1),
        },
        "user-knn": {"user_neighbors": IntDistribution(5, 500, log=True)},
    }
)
"""By model. `popular` has nothing to search."""
