"""What an event changes in G if users are weighted: pure.

A user's scale changes with nearly every event, and G has the products of all items of the user. To
bring them all up to date would change the square of the history's length; so an event brings up to
date its own item and the one whose scale is furthest from the user's, and no others. G is at any
time the Gram matrix of the histories as they stand: each affinity with the scale that it has. In a
history that gets longer by every event, an item is brought up to date before the length has
doubled; in one that stays as it is, all are after as many events as it has items.
"""

from typing import Final

from stream_processors.histories.fold import Change, History, change_of, make_room
from stream_processors.histories.user_weights import UserWeight

CHANGES_AN_EVENT: Final = 3
"""At most: an item leaves, the event's own one comes, another one is brought up to date."""


def fold_scaled_event(
    history: History,
    offset: int,
    item: int,
    increase: float,
    ts_ms: int,
    cap: int,
    value: float,
    weight: UserWeight,
) -> list[Change]:
    """Fold one event into the history of a weighted user; return what it changes in G.

    Args:
        history: changed in place.
        offset: of the event in its partition's log.
        item: what the user touched.
        increase: of the affinity without its scale, 0 or more.
        ts_ms: event time, epoch ms.
        cap: as in `fold_event`.
        value: of the transaction, NaN if it has none.
        weight: tells the user's scale.
    """
    place = history.place_of.get(item)
    if place is None:
        changes = make_room(history, offset, item, ts_ms, cap) if increase else None
        if changes is None:
            return []
        unscaled, last_ts_ms = increase, ts_ms
    else:
        changes = []
        unscaled = float(history.affinity[place]) / history.scale[item] + increase
        last_ts_ms = max(history.ts_ms[place], ts_ms)
    weight.note(history, item, value)
    scale = weight.scale(history, len(history) + (place is None))
    changes += _put(history, offset, item, unscaled, scale, last_ts_ms)
    furthest = _furthest(history, scale)
    if furthest != item:
        place = history.place_of[furthest]
        unscaled = float(history.affinity[place]) / history.scale[furthest]
        changes += _put(history, offset, furthest, unscaled, scale, history.ts_ms[place])
    return changes


def _put(
    history: History, offset: int, item: int, unscaled: float, scale: float, ts_ms: int
) -> list[Change]:
    """Set an item's affinity; return what that changes in G."""
    place = history.place_of.get(item)
    so_far = 0.0 if place is None else float(history.affinity[place])
    affinity = unscaled * scale
    changes = [change_of(history, offset, item, affinity - so_far)] if affinity != so_far else []
    history.put(item, affinity, ts_ms)
    history.scale[item] = scale
    return changes


def _furthest(history: History, scale: float) -> int:
    """Return the item whose scale is furthest from the user's, by their quotient."""
    least, low = min(zip(history.scale.values(), history.scale, strict=True))
    most, high = max(zip(history.scale.values(), history.scale, strict=True))
    return low if scale / least >= most / scale else high
