"""What is known of users. Reading needs the scope `read`, erasing `admin`."""

import msgspec

from .connection import Connection, path
from .recommendations import Recommended


class Sample(msgspec.Struct, frozen=True):
    """Some users who have a history."""

    user_ids: list[str]


class Held(msgspec.Struct, frozen=True):
    """An instrument that a user has; the time is epoch ms."""

    instrument_id: int
    affinity: float
    last_event_ts: int


class History(msgspec.Struct, frozen=True):
    """A user's instruments, latest first."""

    user_id: str
    items: list[Held]


class KnownItem(Held, frozen=True):
    """All that stands in Redis of what a user has with an instrument."""

    user_scale: float
    value: float
    valued: int


class OwnList(msgspec.Struct, frozen=True):
    """A list that was made for the user; one that is not up to date is not served."""

    generation: str
    model: str
    up_to_date: bool
    items: list[Recommended]


class Export(msgspec.Struct, frozen=True):
    """All that Redis has of a user."""

    user_id: str
    last_event_ts: int | None
    variant: str | None
    generation: str | None
    history: list[KnownItem]
    lists: list[OwnList]


class Erasing(msgspec.Struct, frozen=True):
    """The user whose erasure stands in the log."""

    user_id: str


class Users:
    """A user of whom nothing is known is a TickrecError of kind `unknown-user`."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection

    def sample(self, n: int = 10) -> Sample:
        """Return some users, drawn at random."""
        return self._api.get(Sample, "/v1/users", {"n": n})

    def history(self, user_id: str) -> History:
        """Return a user's instruments with their affinities."""
        return self._api.get(History, path("/v1/users/{}/history", user_id))

    def export(self, user_id: str) -> Export:
        """Return all that Redis has of a user, for the user who asks for it."""
        return self._api.get(Export, path("/v1/users/{}/export", user_id))

    def erase(self, user_id: str) -> Erasing:
        """Erase a user, also one of whom nothing is known."""
        return self._api.delete(Erasing, path("/v1/users/{}", user_id))
