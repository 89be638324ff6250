"""The settings of a run on Spark, in addition to the trainer's."""

from runtime.archive.config import ArchiveConfig
from runtime.settings import FoldingSettings, SharedSettings


class SparkSettings(FoldingSettings, SharedSettings):
    """Read from environment variables of the same names, in capitals.

    How events become histories is said to the trainer as it is to the workers.
    """

    archive: ArchiveConfig = ArchiveConfig()

    def folding(self) -> FoldingSettings:
        """Return how events become histories, alone."""
        return FoldingSettings(**self.model_dump(include=set(FoldingSettings.model_fields)))
