"""The neighbors of an instrument, out of its list in Redis. Pure."""

import msgspec

from api.instruments.answers import SimilarInstrument
from contracts.generations import SimilarList

_similar = msgspec.json.Decoder(SimilarList)


def first_neighbors(value: bytes, n: int) -> SimilarList:
    """Return a `SimilarList` up to its first `n` neighbors at least, out of its JSON.

    Only so much of it is decoded: a list has 200 neighbors, and ten are asked for.
    """
    parts = value.split(b"},", n)
    if len(parts) > n:
        try:
            return _similar.decode(b"},".join(parts[:n]) + b"}]}")
        except msgspec.DecodeError:
            pass  # somebody else's JSON: in another order, or with blanks
    return _similar.decode(value)


def similar_items(similar: SimilarList, n: int) -> list[SimilarInstrument]:
    """Return the first `n` neighbors of a list whose scores are above 0."""
    return [
        SimilarInstrument(int(neighbor.item), neighbor.score, neighbor.support)
        for neighbor in similar.items[:n]
        if neighbor.score > 0
    ]
