"""The message by which workers notify readers of the bars they have just written.

The script that writes the bars publishes it on `Keyspace.bars_changed`, one message per chunk.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec


class ChangedBar(NamedTuple):
    """A minute bar that was written."""

    instrument_id: int
    minute_s: int
    """its start, epoch s, as its field in Redis"""
    value: str
    """`contracts.bars.BarValue` in JSON, as stored in Redis"""


encode_changed_bars: Final = msgspec.msgpack.Encoder().encode
"""Encodes a sequence of `ChangedBar`, or of equivalent tuples."""
_decode: Final = msgspec.msgpack.Decoder(list[ChangedBar]).decode


def decode_changed_bars(message: bytes) -> Sequence[ChangedBar]:
    """Return the bars of a message, in the order in which they were written.

    >>> decode_changed_bars(encode_changed_bars([(4, 60, "{}")]))
    [ChangedBar(instrument_id=4, minute_s=60, value='{}')]

    Raises:
        ValueError: it is not such a message.
    """
    return _decode(message)
