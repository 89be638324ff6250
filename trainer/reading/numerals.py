"""Numbers as text, many at once. Pure."""

from typing import Final

import numpy as np
import pyarrow as pa

from contracts.messages import MAX_INSTRUMENT_ID, Floats, Ints
from trainer.reading.replies import Bytes, Flags, Spans

_ZERO: Final = ord("0")
_NINE: Final = 9
_MOST_DIGITS: Final = len(str(MAX_INSTRUMENT_ID))
"""19 digits fit into 64 bits without a sign, whatever they are."""
_EVERY_OTHER: Final = 0b01010101


def integers(buffer: Bytes, spans: Spans) -> tuple[Ints, Flags]:
    """Return whole numbers from 0 to 2^63 - 1, and which of the spans are some.

    Only digits are valid, without leading zeros.
    """
    lengths = spans.stops - spans.starts
    shortest = int(lengths.min(initial=_MOST_DIGITS))
    values = np.zeros(len(lengths), np.uint64)
    good = (lengths > 0) & (lengths <= _MOST_DIGITS)
    good[good] = (lengths[good] == 1) | (buffer[spans.starts[good]] != _ZERO)
    for place in range(int(lengths[good].max(initial=0))):
        power, places = np.uint64(10**place), spans.stops - 1 - place
        if place < shortest:
            digits = buffer[places] - np.uint8(_ZERO)
            good &= digits <= _NINE
            values += digits * power
            continue
        there = lengths > place
        digits = np.where(there, buffer[np.maximum(places, 0)] - np.uint8(_ZERO), np.uint8(0))
        good &= digits <= _NINE
        values += digits * power
    good &= values <= MAX_INSTRUMENT_ID
    return np.where(good, values, 0).astype(np.int64), good


def numbers(buffer: Bytes, spans: Spans) -> Floats:
    """Return (n,) the nearest floats; NaN for what is no number, or none that is finite.

    `.5` or `+1`, as people write them, are numbers too.
    """
    try:
        values = _cast(buffer, spans)
    except pa.ArrowInvalid:
        if len(spans.starts) == 1:
            return np.array([np.nan])
        # Which ones are none is found by halves.
        half = len(spans.starts) // 2
        parts = (spans.of(slice(half)), spans.of(slice(half, None)))
        return np.concatenate([numbers(buffer, part) for part in parts])
    values[~np.isfinite(values)] = np.nan
    return values


def _cast(buffer: Bytes, spans: Spans) -> Floats:
    """Return the spans as numbers, parsed by Arrow.

    To Arrow, all that is between two offsets is a text. So what is between two spans is one too,
    but a null, which it does not look at. Thus no text is copied.

    Raises:
        pa.ArrowInvalid: some are no numbers.
    """
    n = len(spans.starts)
    offsets = np.zeros(2 * n + 1, np.int64)
    offsets[:-1:2], offsets[1::2] = spans
    offsets[-1] = offsets[-2] if n else 0
    valid = np.full(2 * n // 8 + 1, _EVERY_OTHER, np.uint8)
    parts = [pa.py_buffer(part) for part in (valid, offsets, buffer)]
    texts = pa.Array.from_buffers(pa.large_string(), 2 * n, parts, null_count=n)
    cast = texts.cast(pa.float64())
    return np.frombuffer(cast.buffers()[1], np.float64, 2 * n)[::2].copy()
