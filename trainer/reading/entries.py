"""Entries of histories, from JSON to columns. Pure.

As workers write them, `{"r":1,"t":1629061628123}`, with `"s"`, `"v"` and `"n"` after these if users
are weighted, and `"f"` at the end if there were events at several times, entries are cut at their
commas, many at once. Other formats are decoded one by one.
"""

from typing import Final, NamedTuple

import msgspec
import numpy as np

from contracts.histories import HistoryEntry
from contracts.messages import Floats, Ints
from trainer.reading.fields import Bytes, Flags, Spans
from trainer.reading.numerals import integers, numbers

_COMMA: Final = ord(",")
_END: Final = b"}"
_FIRST: Final = b'{"r":'
_NEXT: Final = tuple(f',"{name}":'.encode() for name in "tsvn")
"""The text before the second number, the third, ..."""
_BEGAN: Final = b',"f":'

_entry = msgspec.json.Decoder(HistoryEntry)


class Entries(NamedTuple):
    """What users have with items."""

    affinities: Floats
    """(n,) r; NaN of what is no entry"""
    ts_ms: Ints
    """(n,) t"""
    scales: Floats
    """(n,) s"""
    first_ms: Ints
    """(n,) f, or t where there is none"""
    problems: dict[int, str]
    """place -> why it is no entry"""


def entries_of(buffer: Bytes, spans: Spans) -> Entries:
    """Return the entries in a buffer."""
    plain = _plain(buffer, spans)
    problems: dict[int, str] = {}
    odd = ~(np.isfinite(plain.affinities) & (plain.scales > 0))
    for place in np.flatnonzero(odd).tolist():
        text = buffer[spans.starts[place] : spans.stops[place]].tobytes()
        try:
            entry = _decode(text)
        except (ValueError, msgspec.MsgspecError) as error:
            problems[place] = str(error)
            plain.affinities[place] = np.nan
            continue
        plain.affinities[place], plain.ts_ms[place] = entry.r, entry.t
        plain.scales[place], plain.first_ms[place] = entry.s, entry.first_ms
    return plain._replace(problems=problems)


def _decode(text: bytes) -> HistoryEntry:
    """Return an entry.

    Raises:
        ValueError, msgspec.MsgspecError: it is none.
    """
    entry = _entry.decode(text)
    if not entry.s > 0:
        raise ValueError(f"a scale of {entry.s}")
    for time in (entry.t, entry.first_ms):
        if not -(2**63) <= time < 2**63:
            raise ValueError(f"a time of {time}")
    return entry


def _plain(buffer: Bytes, spans: Spans) -> Entries:
    """Return the entries that are as workers write them, with NaN in the place of others."""
    n = len(spans.starts)
    commas = np.append(np.flatnonzero(buffer == _COMMA), len(buffer))
    first = np.searchsorted(commas, spans.starts)
    n_commas = np.searchsorted(commas, spans.stops) - first
    last = commas[np.maximum(first + n_commas - 1, 0)]
    has_first = (n_commas > 1) & _have(buffer, last, _BEGAN)
    ends = np.where(has_first, last, spans.stops - 1)
    n_commas -= has_first
    plain: Flags = (n_commas >= 1) & (n_commas <= len(_NEXT))
    plain &= _have(buffer, spans.starts, _FIRST) & _have(buffer, spans.stops - 1, _END)
    for number, text in enumerate(_NEXT):
        those = np.flatnonzero(plain & (n_commas > number))
        plain[those] = _have(buffer, commas[first[those] + number], text)

    def cut(places: Ints, number: int) -> Spans:
        """Return where one of the numbers stands in some entries."""
        comma = first[places] + number
        starts = commas[comma - 1] if number else spans.starts[places]
        is_last = n_commas[places] == number
        return Spans(starts + len(_FIRST), np.where(is_last, ends[places], commas[comma]))

    places = np.flatnonzero(plain)
    scaled = places[n_commas[places] > 1]
    affinities, ts_ms, scales = np.full(n, np.nan), np.zeros(n, np.int64), np.ones(n)
    affinities[places] = numbers(buffer, cut(places, 0))
    ts_ms[places], are_times = integers(buffer, cut(places, 1))
    scales[scaled] = numbers(buffer, cut(scaled, 2))
    affinities[places[~are_times]] = np.nan
    first_ms, began = ts_ms.copy(), np.flatnonzero(plain & has_first)
    first_ms[began], are_times = integers(
        buffer, Spans(last[began] + len(_BEGAN), spans.stops[began] - 1)
    )
    affinities[began[~are_times]] = np.nan
    return Entries(affinities, ts_ms, scales, first_ms, {})


def _have(buffer: Bytes, starts: Ints, text: bytes) -> Flags:
    """Return (n,) whether a text stands in each of the places."""
    there: Flags = (starts >= 0) & (starts + len(text) <= len(buffer))
    for offset, byte in enumerate(text):
        there[there] = buffer[starts[there] + offset] == byte
    return there
