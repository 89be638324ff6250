"""The settings of the producers."""

from pydantic import Field

from contracts.times import DAY_S
from runtime.settings import BarSettings, EventSettings, SharedSettings


class ProducerSettings(BarSettings, EventSettings, SharedSettings):
    """Read from environment variables of the same names in upper case."""

    delivery_timeout_s: float = Field(
        default=60,
        ge=1,
        le=DAY_S,
        description="how long a record may wait for the broker",
    )
