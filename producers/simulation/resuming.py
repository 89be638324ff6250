"""Resumes a simulation where the previous one ended."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache

from producers.batch import Batch

NewestMs = Callable[[str, bytes], int | None]
"""(topic, key) -> event time, epoch ms, up to which the key's records are published; or None"""


def resumed(batches: Iterable[Batch], read_newest: Callable[[], NewestMs]) -> Iterator[Batch]:
    """Yield batches without already published records.

    Each partition resumes at its own end: a killed simulation may have left them at different
    points.

    Args:
        batches: of a simulation, from the start of its back-fill.
        read_newest: called once, before the first batch.
    """
    newest_ms = cache(read_newest())
    for batch in batches:
        ts_ms = batch.ts_ms.tolist()
        new = [
            place
            for place, (ts, record) in enumerate(zip(ts_ms, batch.records, strict=True))
            if (newest := newest_ms(record[0], record[1])) is None or ts > newest
        ]
        if len(new) == len(ts_ms):
            yield batch
        elif new:
            yield Batch(batch.ts_ms[new], [batch.records[place] for place in new])
