"""Folds an event into a history and G if users are weighted: pure.

A user's scale changes with nearly every event, and G has the products of all items of the user.
Updating all of them would change the square of the history's length; so an event updates only its
own item and the one whose scale is furthest from the user's. G is always the Gram matrix of the
current histories: each affinity with its stored scale. In a history that grows with every event, an
item is updated before the length has doubled; in one of constant length, all are after as many
events as it has items.
"""

from typing import Final

from contracts.affinities import Affinity
from stream_processors.histories.fold import Change, change_of, make_room
from stream_processors.histories.history import History
from stream_processors.histories.user_weights import UserWeight

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
    """Fold one event into the history of a weighted user; return the changes of G.

    Args:
        history: changed in place, of `SCALED_ENTRY`.
        offset: of the event in its partition's log.
        item: what the user touched.
        event_weight: of the event's type, above 0.
        ts_ms: event time, epoch ms.
        value: of the transaction, NaN if it has none.
        cap: as in `fold_event`.
        affinity: updates the user's affinity by the event, without its scale.
        weight: computes the user's scale.
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
