"""The answers about users: the only definition of their JSON."""

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """Some users who have a history, drawn at random."""

    user_ids: list[str]


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


class KnownItem(msgspec.Struct, frozen=True, gc=False):
    """All that stands in Redis of what a user has with an instrument."""

    instrument_id: int
    affinity: float
    last_event_ts: int
    """epoch ms"""
    user_scale: float
    """the user's own scale that is in the affinity"""
    value: float
    """sum of the values of the trades that have one, where users are weighted by that"""
    valued: int
    """how many have one"""


class OwnItem(msgspec.Struct, frozen=True, gc=False):
    """An instrument of a list that was made for the user."""

    instrument_id: int
    score: float
    because: list[int]


class OwnList(msgspec.Struct, frozen=True):
    """A list that was made for the user."""

    generation: str
    model: str
    up_to_date: bool
    """false: it was made from another history than the present one, so it is not served"""
    items: list[OwnItem]


class Export(msgspec.Struct, frozen=True):
    """All that Redis has of a user."""

    user_id: str
    last_event_ts: int | None
    """epoch ms; null: the user has no history"""
    variant: str | None
    """whose lists the user is served; null: no model is published yet"""
    generation: str | None
    history: list[KnownItem]
    """latest first"""
    lists: list[OwnList]
    """of the generations that are served, or kept to be rolled back to"""


class Erasing(msgspec.Struct, frozen=True):
    """A user's erasure stands in the log."""

    user_id: str
