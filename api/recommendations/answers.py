"""The answers with recommendations: the only definition of their JSON."""

from typing import Literal

import msgspec

from api.http.instrument_refs import AnsweredId, NamedInstrument
from contracts.trending import TrendingWindow

Source = Literal["model", "history", "popular", "repeat"]
ItemSource = Literal["items", "popular"]
OtherSource = Literal["model", "history", "popular", "catalog", "new"]


class Recommended(NamedInstrument, frozen=True, gc=False, omit_defaults=True):
    """A recommended instrument; `because` lists the instruments that contributed most.

    `source` is present if it is another one than that of the answer: where that has too few
    instruments, the next sources add theirs. `catalog` is any other instrument of the catalog, and
    `new` one without interactions, for users whose history is concentrated in its category.
    """

    score: float
    because: list[AnsweredId]
    source: OtherSource | None = None


class Recommendations(msgspec.Struct, frozen=True):
    """Recommended instruments for a user, best first, and their source.

    `request_id` identifies the answer in feedback (`POST /v1/feedback`). `source` is `model` (the
    user's precomputed list, made from exactly the current history), `history` (computed now, from
    the user's history and the instruments' lists), `popular`, or `repeat` (what the user has
    already, see `repeats`). Scores of different sources are not comparable.
    """

    user_id: str
    request_id: str
    source: Source
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class ItemRecommendations(msgspec.Struct, frozen=True):
    """Recommended instruments for a set of instruments, best first, and their source.

    `request_id` identifies the answer in feedback, of any user. `source` is `items` (the lists of
    the instruments that were sent) or `popular`.
    """

    request_id: str
    source: ItemSource
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class Batch(msgspec.Struct, frozen=True):
    """The recommendations of several users, in the order of the request."""

    recommendations: list[Recommendations]


class TrendingItem(NamedInstrument, frozen=True, gc=False, omit_defaults=True):
    """An item and its number of events in the window."""

    events: int


class Trending(msgspec.Struct, frozen=True):
    """The items with the most events; ties are broken by the smaller id."""

    request_id: str | None
    """identifies the answer in feedback, of any user; null as `start`"""
    window: TrendingWindow
    start: int | None
    """first event time that counts, epoch ms; null: no counts are known yet"""
    as_of: int | None
    """when the events were counted, the end of the window, epoch ms; null as `start`"""
    items: list[TrendingItem]
