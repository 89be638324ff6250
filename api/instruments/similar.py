"""Parses the neighbors of an instrument from its list in Redis. Pure."""

from itertools import islice

import msgspec
from msgspec.structs import replace

from api.generations.popular import Ranked
from api.instruments.answers import SimilarInstrument
from api.instruments.shown import Boosts, Shown
from contracts.fold_in import SCORE_DECIMALS
from contracts.generations import SimilarList

_similar = msgspec.json.Decoder(SimilarList)


def first_neighbors(value: bytes, n: int) -> SimilarList:
    """Parse a `SimilarList` from JSON, at least up to its first `n` neighbors.

    The rest is not decoded: a list has 200 neighbors, and usually ten are needed.
    """
    parts = value.split(b"},", n)
    if len(parts) > n:
        try:
            return _similar.decode(b"},".join(parts[:n]) + b"}]}")
        except msgspec.DecodeError:
            pass  # JSON from another program: in another order, or with blanks
    return _similar.decode(value)


def all_neighbors(value: bytes) -> SimilarList:
    """Parse a complete `SimilarList` from JSON."""
    return _similar.decode(value)


def similar_items(
    similar: SimilarList, n: int, shown: Shown | None = None, boosts: Boosts | None = None
) -> list[SimilarInstrument]:
    """Return the first `n` neighbors of a list that have scores above 0 and may be shown.

    Boosts multiply the scores, so the list must be complete; of equal ones, its order stays.
    """
    if boosts is not None:
        items = similar_items(similar, len(similar.items), shown)
        scores = [round(one.score * boosts(one.instrument_id), SCORE_DECIMALS) for one in items]
        found = [replace(one, score=score) for one, score in zip(items, scores, strict=True)]
        return sorted(found, key=lambda one: -one.score)[:n]
    if shown is None:
        of_all = similar.items
    else:
        is_shown = (one for one in similar.items if one.score > 0 and shown(int(one.item)))
        of_all = [*islice(is_shown, n)]
    return [
        SimilarInstrument(int(one.item), one.score, one.support) for one in of_all if one.score > 0
    ][:n]


def popular_items(
    popular: Ranked,
    instrument_id: int,
    n: int,
    shown: Shown | None,
    boosts: Boosts | None = None,
) -> list[SimilarInstrument]:
    """Return the first `n` popular instruments that may be shown, except the one itself."""
    found = islice(popular.boosted(boosts).shown({instrument_id}, shown), n)
    return [SimilarInstrument(item, score, 0.0) for item, score in found]
