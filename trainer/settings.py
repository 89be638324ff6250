"""The settings of the trainer."""

from typing import Any

from pydantic import Field

from runtime.settings import MetricsSettings
from trainer.models.cosine import CosineConfig
from trainer.models.popular import PopularConfig
from trainer.models.user_knn import UserKnnConfig


class TrainerSettings(MetricsSettings):
    """Read from environment variables of the same names, in capitals."""

    train_every_seconds: float = Field(
        default=60, gt=0, description="from one run's start to the next one's"
    )
    neighbors_per_item: int = Field(default=200, gt=0, description="length of an item's list")
    cosine_shrinkage: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="lambda of `trainer.models.cosine`: lowers scores that rest on few users",
    )
    cosine_popularity_damping: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="beta of `trainer.models.cosine`: above 0.5 popular items sink in the lists",
    )
    user_neighbors: int = Field(default=50, gt=0, description="users in a neighborhood")
    recommendations_per_user: int = Field(default=50, gt=0, description="length of a user's list")
    popular_items: int = Field(default=200, gt=0, description="length of the popular list")
    active_users: int = Field(
        default=10_000, ge=0, description="how many users, latest event first, get a list"
    )
    lock_lease_seconds: float = Field(
        default=15, ge=0.3, description="how long a trainer that died keeps the next one waiting"
    )
    metrics_port: int = Field(
        default=9102, ge=0, le=65535, description="of `/metrics` while `run` runs; 0 for none"
    )

    def cosine(self) -> CosineConfig:
        """Return the item model's configuration."""
        return CosineConfig(
            neighbors=self.neighbors_per_item,
            shrinkage=self.cosine_shrinkage,
            popularity_damping=self.cosine_popularity_damping,
        )

    def user_knn(self) -> UserKnnConfig:
        """Return the user model's configuration."""
        return UserKnnConfig(k=self.user_neighbors, recommendations=self.recommendations_per_user)

    def popular(self) -> PopularConfig:
        """Return the popular list's configuration."""
        return PopularConfig(items=self.popular_items)

    def of_models(self) -> dict[str, Any]:
        """Return every setting that a generation depends on."""
        return {
            "cosine": self.cosine().model_dump(),
            "user-knn": self.user_knn().model_dump() | {"active_users": self.active_users},
            "popular": self.popular().model_dump(),
        }
