"""The settings that several programs share; each program adds its own in a subclass."""

from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.affinities import AffinityName


class SharedSettings(BaseSettings):
    """Read from environment variables of the same names, in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    kafka_bootstrap_servers: str = Field(
        default="127.0.0.1:9092", description="host:port of the brokers, comma-separated"
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        pattern=r"^(redis|rediss|unix)://",
        description="of a single node or any node of a cluster",
    )
    namespace: str = Field(
        default="live",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="prefix of every key and consumer group",
    )
    log_level: str = Field(
        default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="of the JSON log"
    )


class MetricsSettings(SharedSettings):
    """Of programs that serve nothing but their metrics."""

    metrics_host: str = Field(
        default="127.0.0.1",
        description="address to serve metrics on; 0.0.0.0 to be reached from outside a container",
    )


class FoldingSettings(BaseModel):
    """How events become histories: the workers fold by it, the trainer's evaluation recomputes."""

    affinity: AffinityName = Field(
        default="binary",
        description="1 after the first event; the sum of the events' weights, which decay with "
        "time; or the greatest of these",
    )
    half_life_days: float = Field(
        default=60.0,
        ge=14,
        le=36_500,
        description="of weights that decay; below 14 days the numbers overflow",
    )
    history_cap: int = Field(
        default=500, ge=1, le=5_000, description="most recent items that a user's history keeps"
    )
    user_weight: Literal["none", "inverse-degree", "value"] = Field(
        default="none",
        description="scales a user's affinities: not at all, by degree^-exponent, the degree being "
        "the number of items in the history, or by (mean transaction value / typical)^exponent",
    )
    user_weight_exponent: float = Field(default=0.5, gt=0, le=1, description="of USER_WEIGHT")
    typical_value: float = Field(
        default=1.0,
        ge=1e-6,
        le=1e12,
        description="price x quantity of a transaction, in the unit of price, at which a "
        "user counts as much as one without any; a value is taken as at most 1,000 times as much, "
        "and at least a 1,000th of it",
    )
