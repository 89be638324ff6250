"""User behavior: an event draws a user, then an instrument by popularity and the user's taste."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.event_types import BUILT_IN
from producers.simulation.world import Floats, Ints, World

_PER_VIEW: Final = {n: weight**-1.5 if weight > 0 else 0.01 for n, weight in BUILT_IN.items()}
EVENT_SHARES: Final = {name: per / sum(_PER_VIEW.values()) for name, per in _PER_VIEW.items()}
"""The more a type weighs, the rarer it is; one event in a hundred rejects."""
EVENT_TYPES: Final = tuple(EVENT_SHARES)
MEDIAN_QUANTITY: Final = 5.0
QUANTITY_SPREAD: Final = 1.0


@dataclass(frozen=True, slots=True)
class Events:
    """Columns of one length, by time."""

    user: Ints
    instrument: Ints
    event: Ints
    """index into `EVENT_TYPES`"""
    quantity: Ints
    """of trades; meaningless for other events"""
    offset_ms: Ints
    """since the start of the second, 0 to 999"""


class Crowd:
    """The active users of a world."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._rng = rng
        self._activity = np.cumsum(world.activity)
        self._event = np.cumsum(list(EVENT_SHARES.values()))
        self._by_sector = np.argsort(world.sector, kind="stable")
        self._popularity = np.concatenate([[0], np.cumsum(world.popularity[self._by_sector])])
        ends = np.cumsum(np.bincount(world.sector))
        self._sector_starts = self._popularity[np.concatenate([[0], ends[:-1]])]
        self._sector_ends = self._popularity[ends]
        weight = world.taste * (self._sector_ends - self._sector_starts)
        self._taste = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)

    def second(self, events: int, also: Ints) -> Events:
        """Return a second's events: that many by active users, and one by each user in `also`."""
        users = np.concatenate([_draw(self._activity, self._rng.random(events)), also])
        users = self._rng.permutation(users)
        n = len(users)
        quantity = self._rng.lognormal(np.log(MEDIAN_QUANTITY), QUANTITY_SPREAD, n)
        return Events(
            user=users,
            instrument=self._instruments(users),
            event=_draw(self._event, self._rng.random(n)),
            quantity=np.maximum(np.rint(quantity), 1).astype(np.int64),
            offset_ms=np.sort(self._rng.integers(0, 1000, n)),
        )

    def _instruments(self, users: Ints) -> Ints:
        """Draw an instrument for each user: a sector by taste, in it one by popularity."""
        point = self._rng.random((len(users), 1))
        sector = np.minimum((self._taste[users] <= point).sum(axis=1), self._taste.shape[1] - 1)
        low, high = self._sector_starts[sector], self._sector_ends[sector]
        point_in_sector = low + self._rng.random(len(users)) * (high - low)
        place = np.searchsorted(self._popularity, point_in_sector, side="right") - 1
        instrument: Ints = self._by_sector[np.minimum(place, len(self._by_sector) - 1)]
        return instrument


def _draw(cumulative: Floats, point: Floats) -> Ints:
    """Return the class that each point of [0, 1) falls in."""
    return np.minimum(np.searchsorted(cumulative, point, side="right"), len(cumulative) - 1)
