"""The settings of `python -m api`, from environment variables."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from runtime.settings import SharedSettings


class ApiSettings(SharedSettings):
    """Where to serve, and who may write."""

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

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(key.strip() for key in value.split(",") if key.strip())
        return value
