"""The answers with recommendations: the only definition of their JSON."""

from typing import Literal

import msgspec

Source = Literal["model", "history", "popular"]
ItemSource = Literal["items", "popular"]


class Recommended(msgspec.Struct, frozen=True, gc=False):
    """A recommended instrument; `because` holds the instruments that speak for it."""

    instrument_id: int
    score: float
    because: list[int]


class Recommendations(msgspec.Struct, frozen=True):
    """Instruments for a user, best first, and where they come from.

    `request_id` says which answer feedback is about (`POST /v1/feedback`). `source` is `model` (the
    user's own list, made from exactly what the user has now), `history` (worked out now, from what
    the user has and the instruments' lists) or `popular`. Scores of different sources do not
    compare.
    """

    user_id: str
    request_id: str
    source: Source
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class ItemRecommendations(msgspec.Struct, frozen=True):
    """Instruments for whoever has some others, best first, and where they come from.

    `source` is `items` (the lists of the instruments that were sent) or `popular`.
    """

    source: ItemSource
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class Batch(msgspec.Struct, frozen=True):
    """The recommendations of several users, in the order in which these were asked for."""

    recommendations: list[Recommendations]
