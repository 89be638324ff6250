"""Ranks items lower that a user was shown without a click. Pure.

The score of an item is multiplied by `(1 - d)^k`, `k = n 2^(-age / HALF_LIFE_DAYS)`, with d the
variant's discount, n the impressions since the user's last click on the item, and age the time
since the last of them, in whole hours: so a list may be cached for an hour. An event of the user
for the item ends this, as a click does: items that the user has do not sink.

Source: Lee, Lakshmanan, Tiwari and Shah, "Modeling impression discounting in large-scale
recommender systems", KDD 2014, where the discount depends on the same two numbers.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from api.recommendations.answers import Recommended
from contracts.fold_in import SCORE_DECIMALS
from contracts.impressions import KEPT_MS
from contracts.keyspace import OFFSET_FIELD
from contracts.times import DAY_MS, HOUR_MS

HALF_LIFE_DAYS: Final = 7.0
"""Not measured, as no data at hand has impressions."""

Factors = Mapping[int, float]
"""What the scores of the items that sink are multiplied by, above 0 and below 1."""

_OFFSET: Final = OFFSET_FIELD.encode()


class _Shown(msgspec.Struct, frozen=True, gc=False):
    """The fields of `contracts.impressions.Impressions` that the discount needs."""

    n: int
    t: int


_shown = msgspec.json.Decoder(_Shown)


def factors_of(
    impressions: Sequence[bytes], has: Collection[int], discount: float, hour: int
) -> dict[int, float]:
    """Return the factors of a user.

    Args:
        impressions: an `impressions` hash, alternating fields and values.
        has: the items of the user's history.
        discount: d, above 0 and below 1.
        hour: the current one since the epoch.
    """
    factors: dict[int, float] = {}
    kept, now_ms, half_life_ms = 1 - discount, hour * HOUR_MS, DAY_MS * HALF_LIFE_DAYS
    for field, value in zip(impressions[::2], impressions[1::2], strict=True):
        if field == _OFFSET:
            continue
        item, shown = int(field), _shown.decode(value)
        age_ms = max(0, now_ms - shown.t)
        if shown.n and age_ms <= KEPT_MS and item not in has:
            factors[item] = kept ** (shown.n * 2 ** (-age_ms / half_life_ms))
    return factors


def sunk(items: Iterable[Recommended], factors: Factors | None, n: int) -> list[Recommended]:
    """Return the `n` best of some items once those that were shown have sunk.

    Of equal scores, such as those of 0, the one that sinks less comes first.

    Args:
        items: of one source, best first, as many as there are: no more are taken than needed.
        factors: of the items that sink; None: none do.
        n: how many at most.
    """
    if not factors:
        return [*islice(items, n)]
    multiplied = [
        item
        if (factor := factors.get(item.instrument_id)) is None
        else msgspec.structs.replace(item, score=round(item.score * factor, SCORE_DECIMALS))
        for item in islice(items, n + len(factors))
    ]
    multiplied.sort(key=lambda item: (-item.score, -factors.get(item.instrument_id, 1)))
    return multiplied[:n]
