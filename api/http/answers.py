"""The answers about the server."""

from typing import Literal

import msgspec


class Liveness(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: Literal["alive"]


class Readiness(msgspec.Struct, frozen=True):
    """Reads can be served; `kafka` shows whether writes can, too."""

    status: Literal["ready"]
    redis: str
    kafka: str
