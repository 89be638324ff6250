"""The answers about users: the only definition of their JSON."""

import msgspec

from api.http.instrument_refs import AnsweredId


class Sample(msgspec.Struct, frozen=True):
    """A random sample of users with a history."""

    user_ids: list[str]


class Held(msgspec.Struct, frozen=True, gc=False):
    """An instrument that a user has."""

    instrument_id: AnsweredId
    affinity: float
    last_event_ts: int
    """epoch ms"""


class History(msgspec.Struct, frozen=True):
    """A user's history, latest first."""

    user_id: str
    items: list[Held]


class KnownItem(msgspec.Struct, frozen=True, gc=False):
    """Everything that Redis has about a user and an instrument."""

    instrument_id: AnsweredId
    affinity: float
    first_event_ts: int
    """epoch ms"""
    last_event_ts: int
    """epoch ms"""
    user_scale: float
    """the user's own scale, included in the affinity"""
    value: float
    """sum of the values of the trades that have one, if users are weighted by it"""
    valued: int
    """number of trades with a value"""


class OwnItem(msgspec.Struct, frozen=True, gc=False):
    """An instrument in a user's precomputed list."""

    instrument_id: AnsweredId
    score: float
    because: list[AnsweredId]


class OwnList(msgspec.Struct, frozen=True):
    """A user's precomputed list."""

    generation: str
    model: str
    up_to_date: bool
    """false: it was made from an earlier history, so it is not served"""
    items: list[OwnItem]


class Export(msgspec.Struct, frozen=True):
    """Everything that Redis has about a user."""

    user_id: str
    last_event_ts: int | None
    """epoch ms; null: the user has no history"""
    variant: str | None
    """the user's variant; null: no model is published yet"""
    generation: str | None
    history: list[KnownItem]
    """latest first"""
    lists: list[OwnList]
    """of the generations that are served, or kept for a rollback"""


class Erasing(msgspec.Struct, frozen=True):
    """A user's erasure is in the log."""

    user_id: str
