"""The answers about instruments: the only definition of their JSON."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec


class LatestQuote(msgspec.Struct, frozen=True, gc=False):
    """The newest quote of an instrument: its price, and its event time in epoch ms."""

    price: float
    ts: int


class ListedInstrument(msgspec.Struct, frozen=True):
    """An instrument as the catalog describes it."""

    instrument_id: int
    symbol: str
    name: str
    categories: Sequence[str]
    listed: bool
    attributes: Mapping[str, bool | int | float | str]


class Instruments(msgspec.Struct, frozen=True):
    """Instruments by symbol; the token asks for what follows, and is null if nothing does."""

    items: list[ListedInstrument]
    next_page_token: str | None


class DescribedInstrument(ListedInstrument, frozen=True):
    """An instrument, and its newest quote: null if none is stored."""

    quote: LatestQuote | None


class AcceptedInstrument(msgspec.Struct, frozen=True):
    """The instrument whose description, or whose end, Kafka has acknowledged."""

    instrument_id: int


class SimilarInstrument(msgspec.Struct, frozen=True, gc=False):
    """A neighbor; `support` is how many users have both, in binary mode.

    Of what is popular, `score` is how many users have it, and `support` is 0.
    """

    instrument_id: int
    score: float
    support: float


class Similar(msgspec.Struct, frozen=True):
    """The instruments most similar to one, most similar first.

    `source` is `model`, or `popular` if all that are similar were filtered out: then these are the
    most popular of those that were asked for.
    """

    instrument_id: int
    source: Literal["model", "popular"]
    model: str
    variant: str
    generation: str
    items: list[SimilarInstrument]
