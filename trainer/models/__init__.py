"""The interface of models, and their registry.

Each is pure, has a file, and a frozen configuration that checks itself. A model is fitted to one
matrix and then ranks it block by block, so that no result is ever whole in memory.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol, get_args

from pydantic import BaseModel

from trainer.counts.matrices import Matrix
from trainer.models.cosine import Cosine, CosineConfig
from trainer.models.ease import Ease, EaseConfig
from trainer.models.popular import Popular, PopularConfig
from trainer.models.ranking import Ranking
from trainer.models.user_knn import UserKnn, UserKnnConfig


class Ranker(Protocol):
    """A fitted model."""

    @property
    def n_rows(self) -> int:
        """How many lists it makes."""
        ...

    def rank(self, start: int, stop: int) -> Ranking:
        """Return the lists of rows `start <= row < stop`, independent of the blocks."""
        ...


class Model(Protocol):
    """Turns a matrix into ranked lists of its columns."""

    @property
    def name(self) -> str:
        """As clients see it with a list."""
        ...

    def fit(self, matrix: Matrix) -> Ranker:
        """Return a ranker; its docstring says which matrix it takes and what its rows are."""
        ...


class Kind(NamedTuple):
    """How a model is made: `kind.model(kind.config(...))`, an item model with a list's length."""

    config: type[BaseModel]
    model: Callable[..., Model]


MODELS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "cosine": Kind(CosineConfig, Cosine),
        "ease": Kind(EaseConfig, Ease),
        "popular": Kind(PopularConfig, Popular),
        "user-knn": Kind(UserKnnConfig, UserKnn),
    }
)
"""Every model by its name."""

USER_KNN: Final = UserKnn.name

ItemModel = Literal["cosine", "ease"]
ITEM_MODELS: Final[tuple[ItemModel, ...]] = get_args(ItemModel)
"""Fitted to G: a row is an item, its list the item's neighbors. `popular` has one row for all."""


def settings_part(model: str) -> str:
    """Return which part of the trainer's settings is a model's.

    >>> settings_part("user-knn")
    'user_knn'
    """
    return model.replace("-", "_")
