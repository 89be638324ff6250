"""The answers about the server."""

from typing import Literal

import msgspec


class Liveness(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["alive"]


class Readiness(msgspec.Struct, frozen=True):
    """Reads can be served; `kafka` says whether writes can, too."""

    status: Literal["ready"]
    redis: str
    kafka: str
