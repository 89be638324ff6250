"""What users were shown since their last click, recomputed from a whole log."""

from collections import defaultdict
from collections.abc import Iterable

from contracts.feedback import Feedback

Counted = dict[str, dict[int, tuple[int, int]]]
"""user -> item -> impressions since the last click, and the time of the latest message"""


def impressions_of(log: Iterable[Feedback]) -> Counted:
    """Count each `(request_id, instrument_id, type)` once, and no impression of a clicked answer.

    It knows of no bounds, so an item must not be in more answers than are kept of it.
    """
    counted: Counted = defaultdict(dict)
    seen: set[tuple[str, str, int, str]] = set()
    for one in log:
        place = (one.user_id, one.request_id, one.instrument_id)
        if (*place, one.type) in seen or (*place, "click") in seen:
            continue
        seen.add((*place, one.type))
        n, newest_ms = counted[one.user_id].get(one.instrument_id, (0, 0))
        n = 0 if one.type == "click" else n + 1
        counted[one.user_id][one.instrument_id] = n, max(newest_ms, one.ts)
    return counted
