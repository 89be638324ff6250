"""Fields and values of many hashes, as spans of the received bytes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.messages import Ints

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


class Spans(NamedTuple):
    """Pieces of a buffer."""

    starts: Ints
    """(n,)"""
    stops: Ints
    """(n,) exclusive"""

    def of(self, which: Any) -> "Spans":
        """Return some of them: a mask, or their places."""
        return Spans(self.starts[which], self.stops[which])

    def are(self, buffer: Bytes, text: bytes) -> Flags:
        """Return (n,) whether each is this very text."""
        same: Flags = self.stops - self.starts == len(text)
        places = np.flatnonzero(same)
        for offset, byte in enumerate(text):
            same[places] &= buffer[self.starts[places] + offset] == byte
        return same


class Fields(NamedTuple):
    """Fields and values of some hashes."""

    buffer: Bytes
    """where they stand"""
    rows: Ints
    """(n_fields,) which hash each belongs to"""
    names: Spans
    """(n_fields,)"""
    values: Spans
    """(n_fields,)"""

    def of(self, which: Any) -> "Fields":
        """Return some of them: a mask, or their places."""
        return Fields(self.buffer, self.rows[which], self.names.of(which), self.values.of(which))

    def name(self, place: int) -> bytes:
        """Return the text of a field."""
        return self.buffer[self.names.starts[place] : self.names.stops[place]].tobytes()

    def value(self, place: int) -> bytes:
        """Return the text of a value."""
        return self.buffer[self.values.starts[place] : self.values.stops[place]].tobytes()


def without(fields: Fields, names: Iterable[str]) -> Fields:
    """Return the fields but those with some names."""
    is_named = np.zeros(len(fields.rows), np.bool_)
    for name in names:
        is_named |= fields.names.are(fields.buffer, name.encode())
    return fields.of(~is_named)


def fields_of(row: int, fields: Mapping[bytes, bytes]) -> Fields:
    """Return the fields of one hash."""
    return joined([(row, [text for field in fields.items() for text in field])])


def joined(parts: Sequence[tuple[int, Sequence[bytes]]]) -> Fields:
    """Return fields and values that stand in turn for each row."""
    texts = [text for _, its in parts for text in its]
    lengths = np.array([len(text) for text in texts], np.int64)
    stops = np.cumsum(lengths)
    spans = Spans(stops - lengths, stops)
    rows = np.repeat([row for row, _ in parts], [len(its) // 2 for _, its in parts])
    return Fields(
        np.frombuffer(b"".join(texts), np.uint8),
        rows.astype(np.int64),
        spans.of(slice(0, None, 2)),
        spans.of(slice(1, None, 2)),
    )
