"""Similar and recommended instruments. For users this requires the scope `read`."""

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
    """A recommended instrument, and the instruments that led to it."""

    instrument_id: int
    score: float
    because: list[int]


class Recommendations(msgspec.Struct, frozen=True):
    """Instruments for a user, best first; return `request_id` with feedback on them."""

    user_id: str
    request_id: str
    source: Literal["model", "history", "popular"]
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class ItemRecommendations(msgspec.Struct, frozen=True):
    """Instruments for the owner of some others, best first."""

    source: Literal["items", "popular"]
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class Batch(msgspec.Struct, frozen=True):
    """Recommendations for each of several users, in the order of the request."""

    recommendations: list[Recommendations]


class WeightedItem(msgspec.Struct, frozen=True):
    """An instrument of a basket, and its weight relative to the others."""

    instrument_id: int
    weight: float = 1.0


class TrendingInstrument(msgspec.Struct, frozen=True):
    """An instrument, and its number of events in the window."""

    instrument_id: int
    events: int


class Trending(msgspec.Struct, frozen=True):
    """The instruments with most events from `start` to `as_of`, epoch ms; None: not known yet."""

    window: Literal["1h", "6h", "24h", "7d"]
    start: int | None
    as_of: int | None
    items: list[TrendingInstrument]


class SimilarQuery(TypedDict, total=False):
    """Filters for similar instruments."""

    n: int
    category: Sequence[str]
    exclude_category: Sequence[str]


class TrendingQuery(SimilarQuery, total=False):
    """Filters for trending instruments."""

    window: Literal["1h", "6h", "24h", "7d"]


class RecommendationsQuery(SimilarQuery, total=False):
    """Filters for recommendations; `exclude` has ids."""

    exclude: Sequence[int]
    include_seen: bool


class Recommender:
    """Answers never include instruments that the catalog marks as unlisted."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection

    def similar(self, instrument: int | str, **query: Unpack[SimilarQuery]) -> Similar:
        """Return the instruments most similar to one."""
        return self._api.get(Similar, path("/v1/instruments/{}/similar", instrument), query)

    def trending(self, **query: Unpack[TrendingQuery]) -> Trending:
        """Return the instruments with the most recent events."""
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
