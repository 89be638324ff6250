"""Folds an event into a history and G if users are weighted: pure.

A user's scale changes with nearly every event, and G has the products of all items of the user.
Updating all of them would change the square of the history's length; so an event updates only its
own item and the one whose scale is furthest from the user's. G is always the Gram matrix of the
current histories: each affinity with its stored scale. In a history that grows with every event, an
item is updated before the length has doubled; in one of constant length, all are after as many
events as it has items.
"""

import math
from dataclasses import dataclass
from typing import Final, Protocol

from contracts.affinities import FURTHEST_VALUE, Affinity
from stream_processors.histories.fold import Change, change_of, make_room
from stream_processors.histories.history import History


class UserWeight(Protocol):
    """Computes a user's scale."""

    def note(self, history: History, place: int, value: float) -> None:
        """Note the value, NaN if it has none, of a transaction of the item at an index."""

    def scale(self, history: History) -> float:
        """Return the scale of a history, which already has the event's item."""


@dataclass(frozen=True, slots=True)
class InverseDegree:
    """Scale `degree^-exponent`: each item of a user with many items counts less.

    With exponent 1/2 a pair of items counts 1/n for a user of n items, nearly as in Newman,
    "Scientific collaboration networks. II", Phys. Rev. E 64, 2001, where a pair of a paper's n
    authors counts 1/(n - 1).

    >>> history = History.empty(scaled=True)
    >>> for item in range(16):
    ...     history.add(item, 1.0, ts_ms=0)
    >>> InverseDegree(0.5).scale(history)
    0.25
    """

    exponent: float

    def note(self, history: History, place: int, value: float) -> None:
        """Do nothing: values do not count."""

    def scale(self, history: History) -> float:
        """Return the scale of a user with that many items."""
        return float(len(history) ** -self.exponent)


@dataclass(frozen=True, slots=True)
class MeanValue:
    """Scale `(mean value / typical value)^exponent`, the mean of all transactions with a value.

    Items that left the history no longer count in the mean. Without values, the scale is 1.
    """

    exponent: float
    typical_value: float

    def note(self, history: History, place: int, value: float) -> None:
        """Add the value to the item's sum."""
        if math.isnan(value):
            return
        least, most = self.typical_value / FURTHEST_VALUE, self.typical_value * FURTHEST_VALUE
        history.entries["total"][place] += min(max(value, least), most)
        history.entries["n_values"][place] += 1

    def scale(self, history: History) -> float:
        """Return the scale at the mean so far."""
        n = int(history.entries["n_values"].sum())
        if not n:
            return 1.0
        # The exact sum, rounded once, is independent of the order of items in Redis.
        mean = math.fsum(history.entries["total"].tolist()) / n
        return float((mean / self.typical_value) ** self.exponent)


CHANGES_AN_EVENT: Final = 3
"""At most: one item leaves, the event's own item enters, and another one is updated."""


def fold_scaled_event(
    history: History,
    offset: int,
    item: int,
    event_weight: float,
    ts_ms: int,
    value: float,
    cap: int,
    affinity: Affinity,
    weight: UserWeight,
) -> list[Change]:
    """Fold one event into the history of a weighted user, as `HistoryRules.fold`.

    The entries are `SCALED_ENTRY`; `affinity` leaves out the user's scale, which `weight` computes.
    """
    place = history.place_of(item)
    if place < 0:
        changes = make_room(history, offset, item, ts_ms, cap)
        if changes is None:
            return []
        unscaled = affinity(0.0, event_weight, ts_ms)
        place = len(history)
        history.add(item, 0.0, ts_ms)
    else:
        changes = []
        unscaled = affinity(_unscaled(history, place), event_weight, ts_ms)
    weight.note(history, place, value)
    scale = weight.scale(history)
    changes += _put(history, offset, place, unscaled, scale, ts_ms)
    furthest = _furthest(history, scale)
    if furthest != place:
        ts_ms = int(history.entries["ts_ms"][furthest])
        changes += _put(history, offset, furthest, _unscaled(history, furthest), scale, ts_ms)
    return changes


def _unscaled(history: History, place: int) -> float:
    entry = history.entries[place]
    return float(entry["affinity"]) / float(entry["scale"])


def _put(
    history: History, offset: int, place: int, unscaled: float, scale: float, ts_ms: int
) -> list[Change]:
    """Set an item's affinity; return the change of G."""
    so_far, affinity = float(history.entries["affinity"][place]), unscaled * scale
    changes = [change_of(history, offset, place, affinity)] if affinity != so_far else []
    history.put(place, affinity, ts_ms)
    history.entries["scale"][place] = scale
    return changes


def _furthest(history: History, scale: float) -> int:
    """Return the index of the item whose scale is furthest from the user's, by their quotient.

    Ties go to the least id if they lag behind, else to the greatest: the store keeps no order.
    """
    items, scales = history.entries["item"], history.entries["scale"]
    least, most = scales.min(), scales.max()
    if scale / least >= most / scale:
        places = (scales == least).nonzero()[0]
        return int(places[items[places].argmin()])
    places = (scales == most).nonzero()[0]
    return int(places[items[places].argmax()])
