"""The static part: instruments in sectors, and users with tastes.

This is the structure that recommendations can be checked against: a user prefers a few sectors, so
instruments of one sector have users in common.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SECTORS: Final = 11
"""as many as the Global Industry Classification Standard has"""
ZIPF_EXPONENT: Final = 1.0
TASTE_CONCENTRATION: Final = 0.1
"""of the Dirichlet distribution of tastes: most of a user's taste is for one to three sectors"""
MEDIAN_PRICE: Final = 40.0
PRICE_SPREAD: Final = 1.0
"""standard deviation of the logarithm of the first prices"""
ACTIVITY_SPREAD: Final = 0.8
"""the same of the users' activity"""


@dataclass(frozen=True, slots=True)
class World:
    """Instruments 0 to n - 1 in s sectors, and m users."""

    sector: Ints
    """(n,) 0 to s - 1, an index into `instruments.SECTOR_NAMES`"""
    popularity: Floats
    """(n,) Zipf's law over a random ranking; sums to 1"""
    first_price: Floats
    """(n,)"""
    taste: Floats
    """(m, s) how much a user prefers a sector; rows sum to 1"""
    activity: Floats
    """(m,) share of the events; sums to 1"""

    @property
    def instruments(self) -> int:
        """How many instruments there are."""
        return len(self.sector)


def make_world(instruments: int, users: int, rng: np.random.Generator) -> World:
    """Draw a world."""
    sectors = min(SECTORS, instruments)
    weight = (rng.permutation(instruments) + 1.0) ** -ZIPF_EXPONENT
    activity = rng.lognormal(sigma=ACTIVITY_SPREAD, size=users)
    return World(
        # Assigned round-robin, so that no sector is empty.
        sector=rng.permutation(np.arange(instruments) % sectors),
        popularity=weight / weight.sum(),
        first_price=rng.lognormal(np.log(MEDIAN_PRICE), PRICE_SPREAD, instruments),
        taste=rng.dirichlet(np.full(sectors, TASTE_CONCENTRATION), users),
        activity=activity / activity.sum(),
    )
