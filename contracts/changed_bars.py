"""The message by which workers tell readers which bars they have just written.

Published on `Keyspace.bars_changed` by the script that wrote them, a message a chunk.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec


class ChangedBar(NamedTuple):
    """A minute bar that was written."""

    instrument_id: int
    minute_s: int
    """its start, epoch s"""
    value: str
    """`keyspace.BarValue` in JSON, as it stands in Redis"""


encode_changed_bars: Final = msgspec.msgpack.Encoder().encode
"""A sequence of `ChangedBar`, or of tuples like it, to a message."""
_decode: Final = msgspec.msgpack.Decoder(list[ChangedBar]).decode


def decode_changed_bars(message: bytes) -> Sequence[ChangedBar]:
    """Return the bars of a message, in the order in which they were written.

    >>> decode_changed_bars(encode_changed_bars([(4, 60, "{}")]))
    [ChangedBar(instrument_id=4, minute_s=60, value='{}')]

    Raises:
        ValueError: it is no such message.
    """
    return _decode(message)
