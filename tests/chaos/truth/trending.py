"""Events of items by time; Redis may have dropped the counts that expired, or are about to."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.event_types import BUILT_IN
from contracts.keyspace import NOT_ITEMS
from contracts.topics import INTERACTIONS
from contracts.trending import BUCKETS_S, PAGES, Bucket
from tests.chaos.truth.expected import Name, Near, Run
from tests.chaos.truth.messages import good


def expected(run: Run) -> Iterator[tuple[Name, Any]]:
    counts: Counter[tuple[int, Bucket, int]] = Counter()
    for p in range(run.topology.interactions):
        for _, event in good(run.log.counted((INTERACTIONS.name, p)), INTERACTIONS):
            if "instrument_id" in event and BUILT_IN[event.get("event", "trade")] > 0:
                item, second = event["instrument_id"], event["ts"] // 1000
                counts.update((p, Bucket(s, second // s * s), item) for s in BUCKETS_S)
    retained_s = time.time() + min(BUCKETS_S)
    for (p, bucket, item), n in counts.items():
        name = run.keyspace.trending(p, *bucket, item % PAGES), str(item)
        yield name, n if bucket.expires_at_s > retained_s else Near(n / 2, n / 2)


def compared(_kind: str, _rest: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {item: n for item, n in fields.items() if item not in NOT_ITEMS}
