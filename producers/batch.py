"""What every source hands to the feed: records in the order in which they are published."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.messages import Ints

Headers = list[tuple[str, str | bytes | None]]
Record = tuple[str, bytes, bytes] | tuple[str, bytes, None, Headers]
"""topic, key, value: a plain tuple, as one is made for each of some 300,000 records a second; a
record without a value has headers instead"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in publishing order, with their event times."""

    ts_ms: Ints
    """(n,) event times, epoch ms; not necessarily rising"""
    records: Sequence[Record]
    """n of them"""
