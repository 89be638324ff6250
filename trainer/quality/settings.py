"""How bad the data may be."""

from pydantic import Field

from runtime.settings import MetricsSettings


class QualitySettings(MetricsSettings):
    """Read from environment variables of the same names, in capitals."""

    quality_inconsistent_max: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="hard: share of the counts in rows that do not fit the other rows. What is "
        "written while they are read touches few counts; partitions that are damaged, or far "
        "behind each other, touch many",
    )
    quality_items_kept_min: float = Field(
        default=0.5,
        ge=0,
        allow_inf_nan=False,
        description="hard: items for one of the served generation. An item leaves with its last "
        "user only, so much less is a loss; half is what one of two nodes holds",
    )
    quality_single_user_max: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="soft: share of items that only one user has. 0.05 in a shop's year of "
        "purchases; where it is most of them, ids are often made anew",
    )
    quality_popularity_shift_max: float = Field(
        default=0.25,
        ge=0,
        allow_inf_nan=False,
        description="soft: population stability index against the served generation; from 0.25 on "
        "a shift is usually called significant, below 0.1 none",
    )
