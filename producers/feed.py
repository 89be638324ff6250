"""Publishes batches at a pace: whatever is due, as soon as the publisher accepts it.

There are no tokens and no schedule: each round publishes all that became due since the last one, so
a feed that was delayed (by a slow broker, or by a back-fill of the past) catches up by itself.
"""

from collections.abc import Callable, Iterable
from threading import Event
from typing import Final

import numpy as np

from producers.batch import Batch
from producers.pace import Pace
from producers.publisher import Publisher

QUEUE_FULL_WAIT_S: Final = 0.02
SHORTEST_WAIT_S: Final = 0.005
"""A few records per round, rather than a round for each of thousands per second."""
LONGEST_WAIT_S: Final = 0.2
"""So that delivery reports and the progress keep updating."""


def feed(
    batches: Iterable[Batch],
    sink: Publisher,
    *,
    speed: float,
    event_start_ms: int | None,
    clock: Callable[[], float],
    stop: Event,
    after_round: Callable[[], None],
) -> None:
    """Publish all batches, until `stop` or the first record that could not be delivered.

    Nothing is published after a lost record: that would hide a gap.

    Args:
        batches: in publishing order; each is requested once the previous one is published.
        sink: receives the records.
        speed: seconds of event time per second of the clock.
        event_start_ms: the event time that is due right now; None: that of the first record.
        clock: seconds, from any origin.
        stop: ends the feed early.
        after_round: called after each round.
    """
    pace: Pace | None = None
    for batch in batches:
        if pace is None:
            start_ms = int(batch.ts_ms[0]) if event_start_ms is None else event_start_ms
            pace = Pace(speed, start_ms, clock())
        # A record after one with a later event time is due with it.
        due_ms = np.maximum.accumulate(batch.ts_ms)
        start = 0
        while start < len(due_ms):
            if stop.is_set() or sink.failed:
                return
            now_s = clock()
            end = max(start, int(np.searchsorted(due_ms, pace.horizon_ms(now_s), side="right")))
            start += sink.publish(batch.records[start:end])
            if start < end:
                sink.poll(QUEUE_FULL_WAIT_S)
            else:
                sink.poll(0)
                if start < len(due_ms):
                    wait_s = pace.seconds_until(float(due_ms[start]), now_s)
                    stop.wait(min(max(wait_s, SHORTEST_WAIT_S), LONGEST_WAIT_S))
            after_round()
