"""The settings of `python -m api`, from environment variables."""

from typing import Annotated

from limits import RateLimitItem, RateLimitItemPerSecond, parse
from pydantic import Field, InstanceOf, field_validator
from pydantic_settings import NoDecode

from api.http.writing import MAX_EVENTS
from runtime.settings import SharedSettings


class ApiSettings(SharedSettings):
    """Where to serve, and who may write how much."""

    api_host: str = Field(
        default="127.0.0.1",
        description="address to serve on; 0.0.0.0 in a container, to be reached from outside it",
    )
    api_port: int = Field(default=8000, ge=0, le=65535, description="0: the system chooses")
    api_keys: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        repr=False,
        description="comma-separated; when set, writing needs one of them",
    )
    write_limit: Annotated[InstanceOf[RateLimitItem], NoDecode] = Field(
        default=RateLimitItemPerSecond(10_000),  # a tenth of what one core takes
        description="events that a key may write to one process, as `10000/second`",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(key.strip() for key in value.split(",") if key.strip())
        return value

    @field_validator("write_limit", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        return parse(value) if isinstance(value, str) else value

    @field_validator("write_limit")
    @classmethod
    def _let_a_full_request_pass(cls, limit: RateLimitItem) -> RateLimitItem:
        if limit.amount < MAX_EVENTS:
            raise ValueError(
                f"{limit.amount} is less than the {MAX_EVENTS} events of one request, which would "
                "never pass: name more, or a longer time"
            )
        return limit
