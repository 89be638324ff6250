"""What every source gives to the feed: records in publishing order."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.messages import Ints

Headers = list[tuple[str, str | bytes | None]]
Record = tuple[str, bytes, bytes] | tuple[str, bytes, None, Headers]
"""topic, key, value: a plain tuple, as some 300,000 are created per second; a record without a
value has headers instead"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in publishing order, with their event times."""

    ts_ms: Ints
    """(n,) event times, epoch ms; not necessarily ascending"""
    records: Sequence[Record]
    """n of them"""
