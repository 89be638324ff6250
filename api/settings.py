"""The settings of `python -m api`, from environment variables."""

import re
from pathlib import Path
from typing import Annotated, Final

from limits import RateLimitItem, RateLimitItemPerSecond
from pydantic import BeforeValidator, Field, InstanceOf, field_validator
from pydantic_settings import NoDecode

from api.http.keys.file import parse_limit, read_keys
from api.http.security import ANY_HOST
from runtime.settings import EventSettings, SharedSettings, TracingSettings

_HOST: Final = re.compile(r"\*|[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_ORIGIN: Final = re.compile(r"https?://[^/\s,*?#@]+")


def _words(value: object) -> object:
    """Return the parts of a comma-separated text."""
    if not isinstance(value, str):
        return value
    return frozenset(word.strip() for word in value.split(",") if word.strip())


_Words = Annotated[frozenset[str], NoDecode, BeforeValidator(_words)]


class ApiSettings(EventSettings, TracingSettings, SharedSettings):
    """Addresses, access and quotas."""

    api_host: str = Field(
        default="127.0.0.1",
        description="address to listen on; 0.0.0.0: reachable from other hosts",
    )
    api_port: int = Field(
        default=8000, ge=0, le=65535, description="port to listen on; 0: the system chooses"
    )
    api_private_host: str = Field(default="127.0.0.1", description="address of `API_PRIVATE_PORT`")
    api_private_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="port for metrics, health and documentation only; 0: on `API_PORT`",
    )
    forwarded_allow_ips: str = Field(
        default="127.0.0.1",
        description="comma-separated addresses or networks of proxies whose X-Forwarded-For is "
        "trusted",
    )
    api_hosts: _Words = Field(
        default=frozenset(),
        description="comma-separated names that a server without keys answers to, in addition to "
        "localhost and IP addresses; `*`: any name, behind a gateway that checks them",
    )
    api_cors_origins: _Words = Field(
        default=frozenset(),
        description="comma-separated origins allowed by CORS, such as `https://shop.example`",
    )
    api_connections: int = Field(
        default=10_000,
        gt=0,
        description="open connections of one process; further ones get a 503",
    )
    streams_per_client: int = Field(
        default=100,
        gt=0,
        description="open streams per address and per key, in one process",
    )
    api_keys: _Words = Field(
        default=frozenset(),
        repr=False,
        description="comma-separated keys that may read and write",
    )
    api_keys_file: Path | None = Field(
        default=None,
        description="file of keys with scopes, limits and expiry, which `python -m api keys` "
        "writes",
    )
    write_limit: Annotated[InstanceOf[RateLimitItem], NoDecode] = Field(
        default=RateLimitItemPerSecond(10_000),  # a tenth of what one core takes
        description="events that a key may write to one process, such as `10000/second`",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _name_a_key(cls, value: object) -> object:
        if isinstance(value, str) and value and not _words(value):
            raise ValueError("contains no key: list some, or leave it empty to have none")
        return value

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

    @field_validator("api_hosts")
    @classmethod
    def _check_hosts(cls, names: frozenset[str]) -> frozenset[str]:
        names = frozenset(map(str.lower, names))
        for name in names:
            if not _HOST.fullmatch(name) or (name == ANY_HOST and len(names) > 1):
                raise ValueError(
                    f"{name!r} is not a host name: write names without scheme and port, or * alone"
                )
        return names

    @field_validator("api_cors_origins")
    @classmethod
    def _check_origins(cls, origins: frozenset[str]) -> frozenset[str]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: write scheme://host or scheme://host:port"
                )
        return origins

    @field_validator("write_limit", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        return parse_limit(value, ("write",)) if isinstance(value, str) else value
