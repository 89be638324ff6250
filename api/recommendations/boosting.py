"""Lets items rise or fall by a client's boosts. Pure.

The score of an item is multiplied by the factors of all boosts whose condition it meets. Scores of
recommended items are not below 0.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from api.models.popular import Boosts
from api.recommendations.answers import Recommended
from contracts.fold_in import SCORE_DECIMALS


def boosted(items: Iterable[Recommended], boosts: Boosts | None) -> Iterable[Recommended]:
    """Return items of one source by their boosted scores; of equal ones, the order stays."""
    if boosts is None:
        return items
    multiplied = [
        replace(item, score=round(item.score * boosts(item.instrument_id), SCORE_DECIMALS))
        for item in items
    ]
    return sorted(multiplied, key=lambda item: -item.score)
