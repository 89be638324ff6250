"""Every model by its name. The first item model is the plainest."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from trainer.models import cosine, ease, ordered, popular, user_knn
from trainer.models.interface import Entry, Model, Ranker

__all__ = ["ITEM_MODELS", "MODELS", "USER_KNN", "Entry", "Model", "Ranker", "settings_part"]

MODELS: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "cosine": cosine.ENTRY,
        "ease": ease.ENTRY,
        "ordered": ordered.ENTRY,
        "popular": popular.ENTRY,
        "user-knn": user_knn.ENTRY,
    }
)

USER_KNN: Final = "user-knn"

ITEM_MODELS: Final = tuple(name for name, entry in MODELS.items() if entry.of == "items")


def settings_part(model: str) -> str:
    """Return which part of the trainer's settings is a model's.

    >>> settings_part("user-knn")
    'user_knn'
    """
    return model.replace("-", "_")
