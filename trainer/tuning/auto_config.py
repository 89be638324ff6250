"""How `auto` looks for the best predictor."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

SAMPLE_USERS: Final = 2_000
"""Of how many users the latest items are held out, to be predicted from the rest."""


class AutoConfig(BaseModel):
    """What counts besides accuracy."""

    model_config = ConfigDict(frozen=True)

    accuracy_given_up: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="share of the best accuracy that `auto` may give up for coverage: of the "
        "candidates above it, the one whose lists show most of the catalog is "
        "chosen. The default is about the effect of chance",
    )
