"""The settings of the archive."""

from typing import Final, NamedTuple

from pydantic import Field

from runtime.archive.config import ArchiveConfig
from runtime.settings import InputSettings, MetricsSettings

MIB: Final = 2**20
_QUARTERS: Final = 4
_UNREFERENCED_AFTER_S: Final = 3_600.0


class Times(NamedTuple):
    """How long unneeded data is kept."""

    keep_replaced_s: float
    """a snapshot, after it was replaced: readers may still use it"""
    unreferenced_after_s: float
    """a file in no snapshot, after it was written: its commit may be in progress"""

    @property
    def files_good_for_s(self) -> float:
        """How long after the first one was written files may be committed.

        The other half is for clocks that differ.
        """
        return self.unreferenced_after_s / 2


class ArchiveSettings(InputSettings, MetricsSettings):
    """Read from environment variables of the same names, in capitals."""

    archive: ArchiveConfig = ArchiveConfig()
    archive_flush_interval_s: float = Field(
        default=300,
        gt=0,
        le=3_600,
        description="maximum time from reading a record to its commit",
    )
    archive_buffer_mb: int = Field(
        default=256,
        ge=1,
        le=65_536,
        description="MiB of rows in memory that trigger an earlier commit",
    )
    archive_file_mb: int = Field(
        default=128, ge=1, le=4_096, description="size of the files that compaction makes, MiB"
    )
    archive_erase_within_hours: float = Field(
        default=24,
        ge=1,
        le=8_760,
        description="time after a user's erasure in which no file has the user's rows any more; "
        "readers may use replaced files for a quarter of it",
    )
    metrics_port: int = Field(
        default=9103,
        ge=0,
        le=65_535,
        description="serves `/metrics`, `/health` and `/health/ready`; 0: not served",
    )

    @property
    def maintenance_interval_s(self) -> float:
        """From one round of erasure and cleaning to the next one.

        A tombstone is noticed within one, earlier snapshots expire within another and go with
        the round after that: three quarters of the guarantee.
        """
        return self.archive_erase_within_hours * 3_600 / _QUARTERS

    @property
    def times(self) -> Times:
        """How long unneeded data is kept."""
        quarter_s = self.maintenance_interval_s
        return Times(quarter_s, min(quarter_s, _UNREFERENCED_AFTER_S))
