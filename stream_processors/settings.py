"""The worker's settings, from environment variables."""

from pydantic import Field

from runtime.settings import (
    BarSettings,
    FoldingSettings,
    InputSettings,
    MetricsSettings,
    TracingSettings,
)
from stream_processors.store.store import folding_text


class Settings(BarSettings, FoldingSettings, InputSettings, TracingSettings, MetricsSettings):
    """Settings of one worker process."""

    bars_expire_days: float = Field(
        default=7.0,
        ge=1,
        le=3_650,
        description="wall-clock days after an instrument's last new or revised minute until its "
        "bars expire",
    )
    bars_close_after_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3_600,
        description="seconds of event time after the end of a minute until its bars are published "
        "on `bars`",
    )
    flush_interval_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="between two writes of a partition's bars or histories",
    )
    counts_flush_interval_s: float = Field(
        default=10.0, gt=0, le=600, description="between two writes of a partition's counts"
    )
    dead_letter_ratio_max: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of bad records among a partition's latest 1,000 above which it "
        "stops; 1: never",
    )
    group_instance_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="unique to one worker, which gets its partitions back if it restarts within"
        " `SESSION_TIMEOUT_S`",
    )
    session_timeout_s: float = Field(
        default=10.0,
        ge=6,
        le=80,
        description="after which the group reassigns the partitions of a silent worker",
    )
    history_retention_days: float = Field(
        default=730.0,
        ge=1,
        le=36_500,
        description="days of event time without activity after which a user is removed from "
        "histories and counts",
    )
    metrics_port: int = Field(
        default=9101,
        ge=0,
        le=65_535,
        description="serves `/metrics` and `/health`; 0: the system chooses",
    )

    def folding_of_bars(self) -> str:
        """Return what must not change while the bars in Redis live."""
        return folding_text({"bars_retention_minutes": self.bars_retention_minutes})

    def folding_of_histories(self) -> str:
        """Return what must not change while the histories in Redis live."""
        return folding_text(self.folded_by())
