"""Histories and G as a batch makes them of all events at once, in plain Python."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.messages import Interaction
from contracts.times import DAY_MS
from stream_processors.settings import Settings

EVENT_WEIGHTS: Final = {"view": 1, "click": 2, "watch": 3, "trade": 5}
DECAY_STARTS_MS: Final = 1_577_836_800_000
"""2020-01-01, UTC."""
FURTHEST_VALUE: Final = 1_000


@dataclass(slots=True)
class Held:
    """What a user has with one item."""

    unscaled: float = 0.0
    scale: float = 1.0
    ts_ms: int = 0
    values: list[float] = field(default_factory=list)

    @property
    def affinity(self) -> float:
        return self.unscaled * self.scale


History = dict[int, Held]


def histories(events: Sequence[Interaction], settings: Settings) -> dict[str, History]:
    """Return the history of each user who has done anything."""
    of_user: dict[str, History] = defaultdict(dict)
    for event in events:
        _fold(of_user[event.user_id], event, settings)
    return of_user


def _fold(history: History, event: Interaction, settings: Settings) -> None:
    item, held = event.instrument_id, history.get(event.instrument_id)
    if held is None:
        if len(history) >= settings.history_cap:
            oldest = min((each.ts_ms, item) for item, each in history.items())
            if (event.ts, item) < oldest:
                return
            del history[oldest[1]]
        held = history[item] = Held()
    held.unscaled = _unscaled(held.unscaled, event, settings)
    held.ts_ms = max(held.ts_ms, event.ts)
    if settings.user_weight != "none":
        if event.price is not None:
            value = event.price * (event.quantity or 1)
            least = settings.typical_value / FURTHEST_VALUE
            held.values.append(min(max(value, least), settings.typical_value * FURTHEST_VALUE))
        _rescale(history, held, _scale(history, settings))


def _unscaled(so_far: float, event: Interaction, settings: Settings) -> float:
    if settings.affinity == "binary":
        return 1.0
    half_lives = (event.ts - DECAY_STARTS_MS) / DAY_MS / settings.half_life_days
    weight = float(EVENT_WEIGHTS[event.event] * 2**half_lives)
    return max(so_far, weight) if settings.affinity == "greatest" else so_far + weight


def _scale(history: History, settings: Settings) -> float:
    """Return how much the user counts now."""
    if settings.user_weight == "inverse-degree":
        return float(len(history) ** -settings.user_weight_exponent)
    values = [value for held in history.values() for value in held.values]
    if not values:
        return 1.0
    mean = math.fsum(values) / len(values)
    return float((mean / settings.typical_value) ** settings.user_weight_exponent)


def _rescale(history: History, held: Held, scale: float) -> None:
    """Bring up to date the event's own item, and the one whose scale is furthest from the user's.

    Ties are broken by id.
    """
    held.scale = scale
    least = min((each.scale, item) for item, each in history.items())
    most = max((each.scale, item) for item, each in history.items())
    history[least[1] if scale / least[0] >= most[0] / scale else most[1]].scale = scale


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """G of some items."""

    items: list[int]
    g: npt.NDArray[np.float64]
    """(n_items, n_items)"""


def counts(of_user: Mapping[str, History], items: Sequence[int]) -> Counts:
    """Return G of the items that anyone has had, which may be more than anyone has."""
    place = {item: k for k, item in enumerate(items)}
    r = np.zeros((len(of_user), len(items)))
    for row, history in enumerate(of_user.values()):
        for item, held in history.items():
            r[row, place[item]] = held.affinity
    return Counts(list(items), r.T @ r)
