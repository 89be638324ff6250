"""What users did since lists were made: what they had then, and what is new since.

Of an item touched before and again since, the first event counts.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from runtime.redis.stores import Store
from trainer.quality.gate import report_corrupt
from trainer.reading import ParsedHistories, Quarantine, read_histories
from trainer.stages import Stages


class Had(NamedTuple):
    """What a user has with an item."""

    affinity: float
    """without the user's scale"""
    t: int
    """last event time until then, as far as is known, epoch ms"""


class Since(NamedTuple):
    """What a user had when lists were first served, and what is new since."""

    before: dict[int, Had]
    """by item"""
    after: list[int]


def read_users(
    store: Store, names: Mapping[str, str], since_ms: int, stages: Stages
) -> dict[str, Since]:
    """Return the users who had something before and have more since, given by histories' keys.

    A history that is not as the workers write it is left out, as in training, and counted.
    """
    keys, users = list(names), dict[str, Since]()
    quarantine = Quarantine()
    for histories in read_histories(
        store, len(keys), keys.__getitem__, quarantine, stages, "read users"
    ):
        of_each = zip(histories.offsets, split(histories, since_ms), strict=True)
        users |= {names[keys[row]]: had for row, had in of_each if had.before and had.after}
    if quarantine.n:
        report_corrupt(quarantine.shown, quarantine.n)
    return users


def split(histories: ParsedHistories, since_ms: int) -> list[Since]:
    """Return what each user has, split by the time of each item's first event."""
    first_ms = histories.first_ms
    ts_ms = np.where(histories.ts_ms <= since_ms, histories.ts_ms, first_ms)
    columns = (histories.items, histories.unscaled, ts_ms, first_ms)
    entries = list(zip(*(column.tolist() for column in columns), strict=True))
    ends = np.cumsum(histories.lengths).tolist()
    return [
        Since(
            {item: Had(r, t) for item, r, t, first in entries[start:stop] if first <= since_ms},
            [item for item, _, _, first in entries[start:stop] if first > since_ms],
        )
        for start, stop in pairwise([0, *ends])
    ]
