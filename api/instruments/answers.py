"""The answers about instruments: the only definition of their JSON."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from api.bars.answers import LatestQuote
from api.http.instrument_refs import AnsweredId, NamedInstrument


class ListedInstrument(msgspec.Struct, frozen=True):
    """An instrument as the catalog describes it."""

    instrument_id: AnsweredId
    symbol: str
    name: str
    categories: Sequence[str]
    listed: bool
    attributes: Mapping[str, bool | int | float | str]


class Instruments(msgspec.Struct, frozen=True):
    """Instruments by symbol; the token requests the next page, and is null on the last one."""

    items: list[ListedInstrument]
    next_page_token: str | None


class DescribedInstrument(ListedInstrument, frozen=True):
    """An instrument, and its newest quote: null if none is stored."""

    quote: LatestQuote | None


class AcceptedInstrument(msgspec.Struct, frozen=True):
    """The instrument whose description or removal Kafka has acknowledged."""

    instrument_id: AnsweredId


class AcceptedInstruments(msgspec.Struct, frozen=True):
    """How many entries of the catalog Kafka has acknowledged."""

    instruments: int


class SimilarInstrument(NamedInstrument, frozen=True, gc=False, omit_defaults=True):
    """A neighbor; `support` is the number of users who have both, in binary mode.

    For popular instruments, `score` is the number of users who have it, and `support` is 0.
    """

    score: float
    support: float


class Similar(msgspec.Struct, frozen=True):
    """The instruments most similar to one, most similar first.

    `request_id` identifies the answer in feedback, of any user.
    `source` is `model`, or `popular` if all similar ones were filtered out: then these are the most
    popular ones within the filters.
    """

    instrument_id: AnsweredId
    request_id: str
    source: Literal["model", "popular"]
    model: str
    variant: str
    generation: str
    items: list[SimilarInstrument]


class PredictedItems(msgspec.Struct, frozen=True):
    """Instrument ids, best first."""

    predicted_items: list[str]
