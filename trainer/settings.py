"""The settings of the trainer."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from contracts.fold_in import ITEMS_MOST, FoldIn
from runtime.settings import MetricsSettings, flat_fields
from trainer.counts.derived import Counting, CountsConfig
from trainer.models import ITEM_MODELS, MODELS, Model, settings_part
from trainer.models.ranking import NEIGHBORS
from trainer.quality.checking import QualityConfig
from trainer.settings_file import SettingsFileSource, flat

AUTO = "auto"
AT_SERVING = ("diversity", "repeats")
"""Settings that change answers and not the lists that these are made from."""
_OF_ITEMS = (f"{settings_part(model)}_" for model in ITEM_MODELS)
SEARCHED = ("fold_in_", "counts_", "user_knn_k", "user_knn_metric", *_OF_ITEMS)
"""What the names of settings begin with that `auto` chooses where they are at their defaults."""

if TYPE_CHECKING:
    _SettingsOfModels = MetricsSettings
    ItemModel = str
else:
    _SettingsOfModels = create_model(
        "_SettingsOfModels",
        __base__=MetricsSettings,
        **{settings_part(name): (of.config, of.config()) for name, of in MODELS.items()},
    )
    """With a part for each model: its configuration, `TrainerSettings.config` returns it."""
    ItemModel = Literal[(*ITEM_MODELS, AUTO)]


class AutoConfig(BaseModel):
    """What counts besides accuracy."""

    model_config = ConfigDict(frozen=True)

    accuracy_given_up: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="share of the best accuracy that `auto` may give up for coverage",
    )


class TrainerSettings(_SettingsOfModels):
    """Read from environment variables of the same names, in capitals, and then from a file.

    Those of a part, such as `ease`, begin with its name: `EASE_REGULARIZATION`.
    """

    trainer_settings_file: Path | None = Field(
        default=None,
        description="TOML file with any of the trainer's settings; environment variables override "
        "it",
    )
    train_every_seconds: float = Field(
        default=60,
        gt=0,
        le=864_000,
        description="from the start of one run to the next; at first, intervals grow from 5 s up "
        "to this",
    )
    item_model: ItemModel = Field(
        default="auto",
        description="model that makes the items' lists; `auto` chooses model, counts and "
        "settings that best predict users' latest items",
    )
    user_model: Literal["auto", "user-knn", "none"] = Field(
        default="auto",
        description="model of the most active users' own lists; `auto` makes them where they "
        "predict better than fold-in",
    )
    neighbors_per_item: int = Field(
        default=NEIGHBORS, gt=0, description="maximum length of an item's list"
    )
    counts: CountsConfig = CountsConfig()
    fold_in_items: int = Field(
        default=ITEMS_MOST,
        gt=0,
        le=ITEMS_MOST,
        description="how many of a user's latest items are folded into the items' lists",
    )
    fold_in_half_life_days: float = Field(
        default=0,
        ge=0,
        le=36_500,
        description="age at which a folded-in item counts half as much as the user's latest "
        "one; 0: age does not matter",
    )
    fold_in_half_life_items: float = Field(
        default=0,
        ge=0,
        le=ITEMS_MOST,
        description="number of later items at which a folded-in item counts half as much; 0: "
        "position does not matter",
    )
    diversity: float = Field(
        default=0,
        ge=0,
        le=1,
        description="how much recommendations prefer items of other categories than those before; "
        "a request may override it",
    )
    repeats: int | None = Field(
        default=None,
        ge=0,
        le=ITEMS_MOST,
        description="how many items that a user has lead recommendations; none: as many as predict "
        "best what users took; a request may override it",
    )
    active_users: int = Field(
        default=10_000,
        ge=0,
        description="maximum number of users with a list of their own, latest event first",
    )
    auto: AutoConfig = AutoConfig()
    quality: QualityConfig = QualityConfig()
    keep_generations: int = Field(
        default=0,
        ge=0,
        description="number of earlier generations kept for rollback",
    )
    canary_rules: Path | None = Field(
        default=None,
        description="file with the rules by which a new generation is tried on some users "
        "first; none: all users get it at once",
    )
    variants: Path | None = Field(
        default=None,
        description="file with variants in addition to the default one",
    )
    metrics_port: int = Field(
        default=9102,
        ge=0,
        le=65535,
        description="serves `/metrics` while `run` runs; 0: not served",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        *sources: PydanticBaseSettingsSource,
        **named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, first ones first."""
        of_all = super().settings_customise_sources(settings_cls, *sources, **named)
        return (*of_all, SettingsFileSource(settings_cls))

    def config(self, model: str) -> Any:
        """Return the configuration of a model of `MODELS`."""
        return getattr(self, settings_part(model))

    def model(self, name: str) -> Model:
        """Return the model of `MODELS` that is called `name`, as it is set.

        >>> TrainerSettings(popular={"items": 7}).model("popular")
        Popular(config=PopularConfig(items=7, half_life_days=None))
        """
        entry = MODELS[name]
        length = [self.neighbors_per_item] if entry.of == "items" else []
        return entry.model(self.config(name), *length)

    def counting(self, model: str) -> Counting:
        """Return what an item model is fitted to."""
        order = MODELS[model].order
        return Counting(self.counts, order(self.config(model)) if order else None)

    @property
    def fold_in(self) -> FoldIn:
        """How histories are folded into the lists."""
        return FoldIn(self.fold_in_items, self.fold_in_half_life_days, self.fold_in_half_life_items)

    @property
    def not_at_default(self) -> dict[str, Any]:
        """The settings of a generation that are not at their defaults, by their names."""
        defaults = {name: of.default for name, of in flat_fields(TrainerSettings).items()}
        values = flat(self.of_generation())
        return {name: value for name, value in values.items() if value != defaults[name]}

    def of_generation(self) -> dict[str, Any]:
        """Return what a generation depends on besides data: the settings of its parts."""
        parts = [
            "item_model",
            "user_model",
            "neighbors_per_item",
            "counts",
            "fold_in_items",
            "fold_in_half_life_days",
            "fold_in_half_life_items",
        ]
        parts += [*map(settings_part, MODELS), "active_users", *AT_SERVING]
        parts += ["auto"] if AUTO in (self.item_model, self.user_model) else []
        return self.model_dump(mode="json", include=set(parts))
