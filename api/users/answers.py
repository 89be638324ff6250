"""The answers about users: the only definition of their JSON."""

import msgspec


class Held(msgspec.Struct, frozen=True, gc=False):
    """An instrument that a user has."""

    instrument_id: int
    affinity: float
    last_event_ts: int
    """epoch ms"""


class History(msgspec.Struct, frozen=True):
    """What the system knows of a user, latest first."""

    user_id: str
    items: list[Held]
