"""Events of items by day: of these all are retained, other than of hours."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from contracts.event_types import BUILT_IN
from contracts.keyspace import NOT_ITEMS
from contracts.times import DAY_S
from contracts.topics import INTERACTIONS
from contracts.trending import PAGES
from tests.chaos.truth.expected import Name, Run
from tests.chaos.truth.messages import good


def expected(run: Run) -> Iterable[tuple[Name, Any]]:
    counts: Counter[Name] = Counter()
    for p in range(run.topology.interactions):
        for _, event in good(run.log.counted((INTERACTIONS.name, p)), INTERACTIONS):
            if "instrument_id" in event and BUILT_IN[event.get("event", "trade")] > 0:
                item, day = event["instrument_id"], event["ts"] // (1000 * DAY_S) * DAY_S
                counts[run.keyspace.trending(p, DAY_S, day, item % PAGES), str(item)] += 1
    return counts.items()


def compared(_kind: str, rest: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    is_day = rest.startswith(f"{DAY_S}:")
    return {item: n for item, n in fields.items() if is_day and item not in NOT_ITEMS}
