"""The worker's settings, from environment variables."""

from typing import Literal

from pydantic import Field

from runtime.settings import MetricsSettings


class Settings(MetricsSettings):
    """Of one worker process."""

    bars_retention_minutes: int = Field(
        default=60, ge=1, description="of event time, for each instrument"
    )
    flush_interval_s: float = Field(
        default=1.0, gt=0, le=60, description="between two writes of a partition's bars or counts"
    )
    affinity: Literal["binary", "weighted"] = Field(
        default="binary", description="1 after the first event, or weights that decay with time"
    )
    half_life_days: float = Field(
        default=60.0,
        ge=14,
        description="of weighted affinities; below 14 days the numbers overflow",
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
    metrics_port: int = Field(default=9101, ge=0, description="serves /metrics and /health")
