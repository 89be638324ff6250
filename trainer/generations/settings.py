"""How a new generation reaches the users."""

from pathlib import Path

from pydantic import Field

from trainer.quality.settings import QualitySettings


class PublicationSettings(QualitySettings):
    """Read from environment variables of the same names, in capitals."""

    keep_generations: int = Field(
        default=0,
        ge=0,
        description="earlier generations that can be rolled back to; each takes as much of Redis's "
        "memory as the served one. With 0 there is nothing to roll back to",
    )
    canary_rules: Path | None = Field(
        default=None,
        description="file that says how a new generation is tried on some users first, see "
        "`trainer.experiments.rules`; without it, all get it at once",
    )
    variants: Path | None = Field(
        default=None,
        description="file that names more variants than the default one, see "
        "`trainer.experiments.variants`",
    )
