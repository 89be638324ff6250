"""What a search for settings found, as it stands in a generation's report. Pure."""

import msgspec

from trainer.models.interface import Values


class Tried(msgspec.Struct, frozen=True):
    """A candidate, and how it did."""

    values: Values
    ndcg: float
    """nDCG@10, mean over the users"""
    coverage: float
    """recommended items / all items"""
    personalization: float
    seconds: float


class Found(msgspec.Struct, frozen=True):
    """What `auto` found out, and from what."""

    values: Values
    """settings that take the place of the trainer's"""
    why: str
    users: int = 0
    """whose latest items were held out"""
    ndcg: float | None = None
    low: float | None = None
    """of the 95 % interval, by the users"""
    high: float | None = None
    tried: list[Tried] = []
