"""Draws by Zipf's law: rank r is drawn in proportion to 1 / (r + 1)^exponent. Pure."""

import numpy as np

from contracts.messages import Ints


def draw(n: int, ranks: int, rng: np.random.Generator, exponent: float = 1) -> Ints:
    """Return n ranks, (n,), `0 <= rank < ranks`; an exponent of 0 draws evenly.

    >>> int(draw(1_000, 10, np.random.default_rng(1)).max())
    9
    """
    share = np.cumsum(1 / np.arange(1, ranks + 1) ** exponent)
    drawn: Ints = np.searchsorted(share, rng.random(n) * share[-1]).astype(np.int64)
    # The sum's rounding may put the last share a hair below the greatest draw.
    return np.minimum(drawn, ranks - 1)
