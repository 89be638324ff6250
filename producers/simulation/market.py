"""Prices that move with their sector and the market, and the quotes of each second.

A price is a geometric Brownian motion. An instrument's logarithmic return per second is the sum of
three independent normal parts: the market's, its sector's and its own. Between two seconds a quote
is on a Brownian bridge.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from producers.simulation.world import Floats, Ints, World

# Standard deviations of a second's logarithmic return. Their squares sum to (1.41e-4)^2, about a
# third in a year of 252 days of 6.5 hours: the volatility of an active stock.
MARKET_VOLATILITY: Final = 6e-5
SECTOR_VOLATILITY: Final = 1e-4
OWN_VOLATILITY: Final = 8e-5
VARIANCE: Final = MARKET_VOLATILITY**2 + SECTOR_VOLATILITY**2 + OWN_VOLATILITY**2

MEDIAN_SIZE: Final = 100.0
SIZE_SPREAD: Final = 1.0


@dataclass(frozen=True, slots=True)
class Quotes:
    """Columns of one length, by time."""

    instrument: Ints
    price: Floats
    """rounded to the exchange's tick"""
    size: Ints
    offset_ms: Ints
    """since the start of the second, 0 to 999"""

    def standing_for(self, quotes: float) -> "Quotes":
        """Return each with the size of that many."""
        return replace(self, size=np.rint(self.size * quotes).astype(np.int64))


class Market:
    """The prices of a world's instruments, second by second."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._world = world
        self._rng = rng
        self._log_price = np.log(world.first_price)
        self._turn = np.zeros(0, dtype=np.int64)
        """instruments still to be quoted in this round"""

    def prices(self) -> Floats:
        """Return the price of each instrument, (n,), rounded to the exchange's tick."""
        return on_tick(np.exp(self._log_price))

    def second(self, quotes: int) -> Quotes:
        """Advance a second, and return that many quotes of it.

        Instruments take turns, so that each quotes equally often.
        """
        step = self._step()
        instrument = self._next(quotes)
        share = np.sort(self._rng.random(quotes))
        bridge = np.sqrt(VARIANCE * share * (1 - share)) * self._rng.standard_normal(quotes)
        log_price = self._log_price[instrument] + share * step[instrument] + bridge
        size = self._rng.lognormal(np.log(MEDIAN_SIZE), SIZE_SPREAD, quotes)
        self._log_price += step
        return Quotes(
            instrument=instrument,
            price=on_tick(np.exp(log_price)),
            size=np.maximum(np.rint(size), 1).astype(np.int64),
            offset_ms=(share * 1000).astype(np.int64),
        )

    def _step(self) -> Floats:
        """Return each logarithmic return of a second, (n,); prices keep their mean."""
        normal = self._rng.standard_normal
        market = MARKET_VOLATILITY * normal()
        sectors = SECTOR_VOLATILITY * normal(self._world.taste.shape[1:])
        own = OWN_VOLATILITY * normal(self._world.first_price.shape)
        step: Floats = sectors[self._world.sector] + own + (market - VARIANCE / 2)
        return step

    def _next(self, quotes: int) -> Ints:
        while len(self._turn) < quotes:
            round_ = self._rng.permutation(self._world.instruments)
            self._turn = np.concatenate([self._turn, round_])
        now, self._turn = self._turn[:quotes], self._turn[quotes:]
        return now


def on_tick(price: Floats) -> Floats:
    """Round prices to the tick of a US exchange: 0.01 from 1.00 on, 0.0001 below (SEC rule 612).

    >>> on_tick(np.array([30.7249, 0.86834, 0.00001])).tolist()
    [30.72, 0.8683, 0.0001]
    """
    return np.where(price >= 1, np.round(price, 2), np.maximum(np.round(price, 4), 0.0001))
