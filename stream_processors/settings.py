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
    metrics_port: int = Field(default=9101, ge=0, description="serves /metrics and /health")
