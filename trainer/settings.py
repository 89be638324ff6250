"""The settings of the trainer."""

from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from trainer.generations.settings import PublicationSettings
from trainer.models import ItemModel
from trainer.models.cosine import CosineConfig
from trainer.models.ease import EaseConfig
from trainer.models.popular import PopularConfig
from trainer.models.rp3beta import Rp3BetaConfig
from trainer.models.user_knn import Metric, UserKnnConfig
from trainer.settings_file import SettingsFileSource


class TrainerSettings(PublicationSettings):
    """Read from environment variables of the same names, in capitals, and then from a file."""

    trainer_settings_file: Path | None = Field(
        default=None,
        description="TOML file with any of these settings, such as `tune` writes; an environment "
        "variable comes before it",
    )
    train_every_seconds: float = Field(
        default=60, gt=0, le=864_000, description="from one run's start to the next one's"
    )
    item_model: ItemModel = Field(
        default="cosine", description="which model makes the items' lists, see `trainer.models`"
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
    cosine_popular_removed: int = Field(
        default=0, ge=0, description="how many of the most popular items are in no item's list"
    )
    ease_regularization: float = Field(
        default=2,
        gt=0,
        allow_inf_nan=False,
        description="lambda of `trainer.models.ease`, in multiples of the items' mean count",
    )
    ease_neighborhood: int = Field(
        default=100,
        gt=0,
        description="items that an item's weights are solved among; a list has no more",
    )
    rp3beta_alpha: float = Field(
        default=0.5,
        ge=0,
        le=2,
        description="alpha of `trainer.models.rp3beta`: the lower, the more a user's popular items "
        "decide",
    )
    rp3beta_beta: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="beta of `trainer.models.rp3beta`: the higher, the lower popular items stand",
    )
    user_neighbors: int = Field(default=50, gt=0, description="users in a neighborhood")
    user_metric: Metric = Field(
        default="unit-length",
        description="of `trainer.models.user_knn`: whether users' rows are scaled to length 1",
    )
    recommendations_per_user: int = Field(default=50, gt=0, description="length of a user's list")
    popular_items: int = Field(default=200, gt=0, description="length of the popular list")
    active_users: int = Field(
        default=10_000, ge=0, description="how many users, latest event first, get a list"
    )
    lock_lease_seconds: float = Field(
        default=15,
        ge=0.3,
        le=86_400,
        description="how long a trainer that died keeps the next one waiting",
    )
    metrics_port: int = Field(
        default=9102, ge=0, le=65535, description="of `/metrics` while `run` runs; 0 for none"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (pydantic's signature)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the same)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, first ones first."""
        return init_settings, env_settings, SettingsFileSource(settings_cls)

    def cosine(self) -> CosineConfig:
        """Return the configuration of item cosine."""
        return CosineConfig(
            neighbors=self.neighbors_per_item,
            shrinkage=self.cosine_shrinkage,
            popularity_damping=self.cosine_popularity_damping,
            popular_removed=self.cosine_popular_removed,
        )

    def ease(self) -> EaseConfig:
        """Return the configuration of EASE."""
        return EaseConfig(
            neighbors=self.neighbors_per_item,
            regularization=self.ease_regularization,
            neighborhood=self.ease_neighborhood,
        )

    def rp3beta(self) -> Rp3BetaConfig:
        """Return the configuration of RP3-beta."""
        return Rp3BetaConfig(
            neighbors=self.neighbors_per_item, alpha=self.rp3beta_alpha, beta=self.rp3beta_beta
        )

    def user_knn(self) -> UserKnnConfig:
        """Return the user model's configuration."""
        return UserKnnConfig(
            k=self.user_neighbors,
            metric=self.user_metric,
            recommendations=self.recommendations_per_user,
        )

    def popular(self) -> PopularConfig:
        """Return the popular list's configuration."""
        return PopularConfig(items=self.popular_items)

    def of_models(self) -> dict[str, dict[str, Any]]:
        """Return the configuration of each model, by name."""
        return {
            "cosine": self.cosine().model_dump(),
            "ease": self.ease().model_dump(),
            "rp3beta": self.rp3beta().model_dump(),
            "user-knn": self.user_knn().model_dump(),
            "popular": self.popular().model_dump(),
        }

    def of_generation(self) -> dict[str, dict[str, Any]]:
        """Return what a generation depends on: the configuration of each model that makes it."""
        of_models = self.of_models()
        return {
            self.item_model: of_models[self.item_model],
            "user-knn": of_models["user-knn"] | {"active_users": self.active_users},
            "popular": of_models["popular"],
        }
