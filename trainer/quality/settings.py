"""How bad the data may be."""

from pydantic import BaseModel, ConfigDict, Field


class QualityConfig(BaseModel):
    """The limits: hard ones stop publication, soft ones are warnings."""

    model_config = ConfigDict(frozen=True)

    inconsistent_max: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="hard limit: share of the counts in rows that do not match the other rows. "
        "Writes during reading affect few counts; damaged partitions, or partitions"
        " far behind each other, affect many",
    )
    items_kept_min: float = Field(
        default=0.5,
        ge=0,
        allow_inf_nan=False,
        description="hard limit: number of items, relative to the served generation. An item "
        "disappears only with its last user, so a large drop is a loss",
    )
    single_user_max: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="soft limit: share of items with a single user; if it is high, ids are "
        "probably regenerated too often",
    )
    popularity_shift_max: float = Field(
        default=0.25,
        ge=0,
        allow_inf_nan=False,
        description="soft limit: population stability index against the served generation; from"
        " 0.25 a shift is usually called significant, below 0.1 insignificant",
    )
