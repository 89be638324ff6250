"""What a search for settings found, and how well the chosen ones predict. Pure."""

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


class HeldOut(msgspec.Struct, frozen=True):
    """How well the generation's settings predict what users did last, learned without that."""

    users: int
    """whose latest items were held out"""
    ndcg: float
    """nDCG@10, mean over these users"""
    low: float
    """of the 95 % interval, by the users"""
    high: float
    coverage: float
    personalization: float


def held_out_of(found: Found) -> HeldOut | None:
    """Return how well the chosen settings predict; None if that could not be measured."""
    if found.ndcg is None or found.low is None or found.high is None:
        return None
    of_it = [tried for tried in found.tried if tried.ndcg == found.ndcg]
    chosen = next((tried for tried in of_it if tried.values == found.values), of_it[0])
    return HeldOut(
        found.users, found.ndcg, found.low, found.high, chosen.coverage, chosen.personalization
    )
