"""Instruments to show: similar ones, and recommended ones. For users it needs the scope `read`."""

from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack

import msgspec

from .connection import Connection, path


class SimilarInstrument(msgspec.Struct, frozen=True):
    """A neighbor; `support` is how many users have both."""

    instrument_id: int
    score: float
    support: float


class Similar(msgspec.Struct, frozen=True):
    """The instruments most similar to one, most similar first."""

    instrument_id: int
    source: Literal["model", "popular"]
    model: str
    variant: str
    generation: str
    items: list[SimilarInstrument]


class Recommended(msgspec.Struct, frozen=True):
    """A recommended instrument, and the instruments that speak for it."""

    instrument_id: int
    score: float
    because: list[int]


class Recommendations(msgspec.Struct, frozen=True):
    """Instruments for a user, best first; `request_id` goes back with feedback on them."""

    user_id: str
    request_id: str
    source: Literal["model", "history", "popular"]
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class ItemRecommendations(msgspec.Struct, frozen=True):
    """Instruments for whoever has some others, best first."""

    source: Literal["items", "popular"]
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class Batch(msgspec.Struct, frozen=True):
    """Recommendations for each of several users, in the order in which they were named."""

    recommendations: list[Recommendations]


class WeightedItem(msgspec.Struct, frozen=True):
    """An instrument of a basket, and how much it says relative to the others."""

    instrument_id: int
    weight: float = 1.0


class TrendingInstrument(msgspec.Struct, frozen=True):
    """An instrument, and how many events it had in the window."""

    instrument_id: int
    events: int


class Trending(msgspec.Struct, frozen=True):
    """The instruments with most events from `start` to `as_of`, epoch ms; None: not known yet."""

    window: Literal["1h", "6h", "24h", "7d"]
    start: int | None
    as_of: int | None
    items: list[TrendingInstrument]


class SimilarQuery(TypedDict, total=False):
    """Which of the similar ones."""

    n: int
    category: Sequence[str]
    exclude_category: Sequence[str]


class TrendingQuery(SimilarQuery, total=False):
    """Which of those that are trending."""

    window: Literal["1h", "6h", "24h", "7d"]


class RecommendationsQuery(SimilarQuery, total=False):
    """Which of the recommended ones; `exclude` has ids."""

    exclude: Sequence[int]
    include_seen: bool


class Recommender:
    """What is not listed in the catalog is never among the answers."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection

    def similar(self, instrument: int | str, **query: Unpack[SimilarQuery]) -> Similar:
        """Return the instruments most similar to one."""
        return self._api.get(Similar, path("/v1/instruments/{}/similar", instrument), query)

    def trending(self, **query: Unpack[TrendingQuery]) -> Trending:
        """Return the instruments with most events lately."""
        return self._api.get(Trending, "/v1/trending", query)

    def for_user(self, user_id: str, **query: Unpack[RecommendationsQuery]) -> Recommendations:
        """Return instruments for a user."""
        of_user = path("/v1/users/{}/recommendations", user_id)
        return self._api.get(Recommendations, of_user, query)

    def for_items(
        self, items: Sequence[WeightedItem], **query: Unpack[RecommendationsQuery]
    ) -> ItemRecommendations:
        """Return instruments for a session or a basket, its most recent item first."""
        body = {"items": items, **query}
        return self._api.ask(ItemRecommendations, "/v1/recommendations", body)

    def for_users(self, user_ids: Sequence[str], **query: Unpack[RecommendationsQuery]) -> Batch:
        """Return instruments for each of up to 100 users, in their order."""
        body = {"user_ids": user_ids, **query}
        return self._api.ask(Batch, "/v1/recommendations/batch", body)
