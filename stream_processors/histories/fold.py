"""What an event changes in a user's history and in the Gram matrix G = R^T R: pure.

An event that raises r_ui by d changes G_ij and G_ji by d x r_uj for every other item j of the
user's history, and G_ii by 2 x r_ui x d + d^2. An item that leaves the history, since it holds no
more than the cap, takes its products out again (d = -r_ui): so G is at any time the Gram matrix of
the histories as they stand, to the last count.
"""

from typing import Final, NamedTuple

from contracts.affinities import Affinity
from contracts.messages import Floats, Ints
from stream_processors.histories.history import History

CHANGES_AN_EVENT: Final = 2
"""At most: an item leaves, another one comes."""


class Change(NamedTuple):
    """Of one event: `delta[k]` to G[item, j[k]] and, but for the last, to its mirror.

    The last of them is the diagonal, `j[-1] == item`.
    """

    offset: int
    item: int
    j: Ints
    delta: Floats
    holders: int = 0
    """by how much the number of users whose affinity for the item is above 0 changes"""


class Leaving(NamedTuple):
    """Of one event: a user leaves, so `affinity[i] * affinity[j]` is taken from each G_ij."""

    offset: int
    item: Ints
    affinity: Floats


def fold_event(
    history: History, offset: int, item: int, event: int, ts_ms: int, cap: int, affinity: Affinity
) -> list[Change]:
    """Fold one event into the history; return what it changes in G.

    Args:
        history: changed in place.
        offset: of the event in its partition's log.
        item: what the user touched.
        event: index into `EVENT_TYPES`.
        ts_ms: event time, epoch ms.
        cap: the most items that a history keeps: those touched last, ties to the greater id.
        affinity: what the user's becomes by the event.
    """
    place = history.place_of(item)
    if place < 0:
        new = affinity(0.0, event, ts_ms)
        changes = make_room(history, offset, item, ts_ms, cap) if new else None
        if changes is None:
            return []
        history.add(item, new, ts_ms)
        j, delta = history.items(), history.affinities_times(new)
        changes.append(Change(offset, item, j, delta, holders=1))
        return changes
    entry = history.entries[place]
    so_far, last_ts_ms = float(entry["affinity"]), int(entry["ts_ms"])
    new = affinity(so_far, event, ts_ms)
    changes = [change_of(history, offset, place, new)] if new != so_far else []
    history.put(place, new, max(last_ts_ms, ts_ms))
    return changes


def make_room(
    history: History, offset: int, item: int, ts_ms: int, cap: int
) -> list[Change] | None:
    """Make room for a new item; return what that changes in G, None if the item is too old."""
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
    """Return what another affinity for an item does to G, before the history has it."""
    so_far = float(history.entries["affinity"][place])
    d = affinity - so_far
    j, delta = history.items(), history.affinities_times(d)
    item = int(j[place])
    j[place], delta[place] = j[-1], delta[-1]
    j[-1], delta[-1] = item, 2 * so_far * d + d * d
    return Change(offset, item, j, delta, (affinity > 0) - (so_far > 0))


def fold_leaving(history: History, offset: int) -> list[Leaving]:
    """Take all items out of a history; return what that changes in G."""
    leaving = Leaving(offset, history.items(), history.affinities_times(1.0))
    history.clear()
    return [leaving] if len(leaving.item) else []
