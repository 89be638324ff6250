"""Folds an event into a user's history and the Gram matrix G = R^T R: pure.

An event that raises r_ui by d changes G_ij by d x r_uj for every other item j of the user's
history, and G_ii by 2 x r_ui x d + d^2. When the cap pushes an item out of the history, its
products are subtracted again (d = -r_ui): so G is always exactly the Gram matrix of the current
histories.
"""

from typing import Final, NamedTuple

from contracts.affinities import Affinity
from contracts.messages import Floats, Ints
from stream_processors.histories.history import History

CHANGES_AN_EVENT: Final = 2
"""At most: one item leaves, and another one enters."""


class Change(NamedTuple):
    """Of one event: `delta[k]` to G[item, j[k]]; the last one is the diagonal, `j[-1] == item`."""

    offset: int
    item: int
    j: Ints
    delta: Floats
    holders: int = 0
    """change of the number of users whose affinity for the item is above 0"""


class Leaving(NamedTuple):
    """Of one event: a user leaves, so `affinity[i] * affinity[j]` is subtracted from each G_ij."""

    offset: int
    item: Ints
    affinity: Floats


def fold_event(
    history: History,
    offset: int,
    item: int,
    event_weight: float,
    ts_ms: int,
    cap: int,
    affinity: Affinity,
) -> list[Change]:
    """Fold one event into the history, as `HistoryRules.fold`; return what it changes in G.

    A history keeps the items touched last; ties go to the greater id.
    """
    place = history.place_of(item)
    if place < 0:
        changes = make_room(history, offset, item, ts_ms, cap)
        if changes is None:
            return []
        new = affinity(0.0, event_weight, ts_ms)
        history.add(item, new, ts_ms)
        j, delta = history.items(), history.affinities_times(new)
        changes.append(Change(offset, item, j, delta, holders=1))
        return changes
    so_far = float(history.entries["affinity"][place])
    new = affinity(so_far, event_weight, ts_ms)
    changes = [change_of(history, offset, place, new)] if new != so_far else []
    history.put(place, new, ts_ms)
    return changes


def make_room(
    history: History, offset: int, item: int, ts_ms: int, cap: int
) -> list[Change] | None:
    """Make room for a new item; return the change of G, None if the item is too old."""
    if len(history) < cap:
        return []
    place = history.oldest()
    oldest = history.entries[place]
    if (ts_ms, item) < (int(oldest["ts_ms"]), int(oldest["item"])):
        return None
    change = change_of(history, offset, place, 0.0)
    history.remove(place)
    return [change]


def change_of(history: History, offset: int, place: int, affinity: float) -> Change:
    """Return the change of G by a new affinity for an item, before it is set in the history."""
    so_far = float(history.entries["affinity"][place])
    d = affinity - so_far
    j, delta = history.items(), history.affinities_times(d)
    item = int(j[place])
    j[place], delta[place] = j[-1], delta[-1]
    j[-1], delta[-1] = item, 2 * so_far * d + d * d
    return Change(offset, item, j, delta, (affinity > 0) - (so_far > 0))


def fold_rejection(
    history: History, offset: int, item: int, affinity: float, ts_ms: int, cap: int
) -> list[Change]:
    """Fold the rejection of an item into the history; return what it changes in G.

    It counts as if the user had never had the item: its products leave G as those of an item that
    the cap pushes out. The history only remembers that it must not be shown, until an event of
    another kind makes it a new item again. As many rejected items as the cap are kept, the latest;
    ties go to the greater id. `affinity` is that of the event alone, 0 or less.
    """
    place = history.place_of(item)
    changes = [change_of(history, offset, place, 0.0)] if place >= 0 else []
    history.reject(item, affinity, ts_ms)
    if len(history.rejected) > cap:
        rejected = history.rejected
        history.forget(min(rejected, key=lambda one: (rejected[one].ts_ms, one)))
    return changes


def fold_leaving(history: History, offset: int) -> list[Leaving]:
    """Remove all items from a history; return the change of G."""
    leaving = Leaving(offset, history.items(), history.affinities_times(1.0))
    history.clear()
    return [leaving] if len(leaving.item) else []
