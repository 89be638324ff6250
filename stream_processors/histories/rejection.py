"""Folds the rejection of an item into a history and G: pure.

A rejected item counts as if the user had never had it: its products leave G as those of an item
that the cap pushes out. The history only remembers that it must not be shown, until an event of
another kind makes it a new item again.
"""

from stream_processors.histories.fold import Change, change_of
from stream_processors.histories.history import History


def fold_rejection(
    history: History, offset: int, item: int, affinity: float, ts_ms: int, cap: int
) -> list[Change]:
    """Fold a rejection into the history; return what it changes in G.

    Args:
        history: changed in place.
        offset: of the event in its partition's log.
        item: what the user rejected.
        affinity: of the event alone, 0 or less.
        ts_ms: event time, epoch ms.
        cap: the maximum number of rejected items, of which the latest are kept; ties go to the
            greater id.
    """
    place = history.place_of(item)
    changes = [change_of(history, offset, place, 0.0)] if place >= 0 else []
    history.reject(item, affinity, ts_ms)
    if len(history.rejected) > cap:
        rejected = history.rejected
        history.forget(min(rejected, key=lambda one: (rejected[one].ts_ms, one)))
    return changes
