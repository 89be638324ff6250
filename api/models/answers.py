"""The answer that lists of the first version share."""

import msgspec


class PredictedItems(msgspec.Struct, frozen=True):
    """Instrument ids, best first."""

    predicted_items: list[str]
