"""What every source hands to the feed: records in the order in which they are published."""

from dataclasses import dataclass

from contracts.messages import Ints

Record = tuple[str, bytes, bytes]
"""topic, key, value: a plain tuple, as one is made for each of some 300,000 records a second"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in publishing order, with their event times."""

    ts_ms: Ints
    """(n,) event times, epoch ms; not necessarily rising"""
    records: list[Record]
    """n of them"""
