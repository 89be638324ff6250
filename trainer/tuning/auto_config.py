"""How `auto` looks for the best predictor."""

from pydantic import BaseModel, ConfigDict, Field


class AutoConfig(BaseModel):
    """What is held out, and what counts besides accuracy."""

    model_config = ConfigDict(frozen=True)

    sample_users: int = Field(
        default=2_000,
        ge=1,
        le=100_000,
        description="of how many users the latest items are held out, to be found by what is "
        "learned from the rest",
    )
    accuracy_given_up: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="share of the best nDCG that may be given up for coverage: of what stays above "
        "that, the one whose lists show the largest part of the catalog is taken. The default is "
        "what chance decides anyway",
    )
    data_changed: float = Field(
        default=0.1,
        gt=0,
        allow_inf_nan=False,
        description="share by which items, events or users must have become more or fewer before "
        "it looks again",
    )
