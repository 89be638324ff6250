"""How bad the data may be."""

from pydantic import BaseModel, ConfigDict, Field


class QualityConfig(BaseModel):
    """The limits: hard ones stop publication, soft ones are warnings."""

    model_config = ConfigDict(frozen=True)

    inconsistent_max: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="hard: share of the counts in rows that do not fit the other rows. What is "
        "written while they are read touches few counts; partitions that are damaged, or far "
        "behind each other, touch many",
    )
    items_kept_min: float = Field(
        default=0.5,
        ge=0,
        allow_inf_nan=False,
        description="hard: items for one of the served generation. An item leaves with its last "
        "user only, so much less is a loss; half is what one of two nodes holds",
    )
    single_user_max: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="soft: share of items that only one user has. 0.05 in a shop's year of "
        "purchases; if it is most of them, ids are often regenerated",
    )
    popularity_shift_max: float = Field(
        default=0.25,
        ge=0,
        allow_inf_nan=False,
        description="soft: population stability index against the served generation; from 0.25 on "
        "a shift is usually called significant, below 0.1 none",
    )
