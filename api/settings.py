"""The settings of `python -m api`, from environment variables."""

import re
from pathlib import Path
from typing import Annotated, Final

from limits import RateLimitItem, RateLimitItemPerSecond, parse
from pydantic import Field, InstanceOf, field_validator
from pydantic_settings import NoDecode

from api.http.hosts import ANY_HOST
from api.http.keys.file import read_keys
from api.http.writing import MAX_EVENTS
from runtime.settings import EventTimeSettings, SharedSettings, TracingSettings

_HOST: Final = re.compile(r"\*|[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_ORIGIN: Final = re.compile(r"https?://[^/\s,*?#@]+")


class ApiSettings(EventTimeSettings, TracingSettings, SharedSettings):
    """Where to serve, and who may write how much."""

    api_host: str = Field(
        default="127.0.0.1",
        description="address to serve on; 0.0.0.0 in a container, to be reached from outside it",
    )
    api_port: int = Field(default=8000, ge=0, le=65535, description="0: the system chooses")
    api_private_host: str = Field(default="127.0.0.1", description="address of `api_private_port`")
    api_private_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="metrics, health and documentation are served here only; 0: where all else is",
    )
    forwarded_allow_ips: str = Field(
        default="127.0.0.1",
        description="comma-separated addresses or networks of proxies, whose X-Forwarded-For says "
        "who the client is; each client's share of bodies and streams goes by it",
    )
    api_hosts: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="comma-separated names, as `tickrec.example`, that the server answers to "
        "without keys, in addition to localhost and IP addresses; with keys it answers to any; "
        "`*`: to any without keys, too, for behind a gateway that answers to its own names only",
    )
    api_cors_origins: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="comma-separated origins whose pages may ask, as `https://shop.example`",
    )
    streams_per_client: int = Field(
        default=100,
        gt=0,
        description="streams that one address, and one key, may have open to one process",
    )
    api_keys: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        repr=False,
        description="comma-separated; each reads and writes",
    )
    api_keys_file: Path | None = Field(
        default=None,
        description="file of keys with names, scopes, limits and ends; `python -m api keys` writes "
        "it, and the server follows its changes",
    )
    write_limit: Annotated[InstanceOf[RateLimitItem], NoDecode] = Field(
        default=RateLimitItemPerSecond(10_000),  # a tenth of what one core takes
        description="events that a key may write to one process, as `10000/second`",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys = frozenset(key.strip() for key in value.split(",") if key.strip())
        if value and not keys:
            raise ValueError("has no key in it: name some, or leave it empty to have none")
        return keys

    @field_validator("api_keys_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @field_validator("api_keys_file")
    @classmethod
    def _of_keys(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_keys(path)
        return path

    @field_validator("api_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(name.strip().lower() for name in value.split(",") if name.strip())
        return value

    @field_validator("api_hosts")
    @classmethod
    def _check_hosts(cls, names: frozenset[str]) -> frozenset[str]:
        for name in names:
            if not _HOST.fullmatch(name) or (name == ANY_HOST and len(names) > 1):
                raise ValueError(
                    f"{name!r} is no host name: write names without scheme and port, or * alone"
                )
        return names

    @field_validator("api_cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(origin.strip() for origin in value.split(",") if origin.strip())
        return value

    @field_validator("api_cors_origins")
    @classmethod
    def _check_origins(cls, origins: frozenset[str]) -> frozenset[str]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: write scheme://host or scheme://host:port"
                )
        return origins

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
