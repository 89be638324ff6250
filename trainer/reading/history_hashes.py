"""From the fields of `history` hashes to columns of entries. Pure.

As workers write them, `{"r":1,"t":1629061628123}`, with `"s"`, `"v"` and `"n"` after these if users
are weighted, and `"f"` at the end if there were events at several times, entries are cut at their
commas, many at once. Other formats are decoded one by one.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
import numpy as np

from contracts.affinities import HistoryEntry
from contracts.keyspace import NOT_ITEMS, OFFSET_FIELD
from contracts.log_position import LogPosition, parse_log_position
from contracts.messages import Floats, Ints
from trainer.counts.matrices import in_order
from trainer.reading.numerals import integers, numbers
from trainer.reading.pipelines import shown
from trainer.reading.replies import Bytes, Fields, Flags, Spans, without

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


_NO_IDS: Final = np.empty(0, np.int64)
_NO_NUMBERS: Final = np.empty(0)

_positions = msgspec.json.Decoder(list[LogPosition])


class ParsedHistories(NamedTuple):
    """Some histories, one after the other."""

    offsets: dict[int, LogPosition]
    """row -> position of the last event, ascending, of rows that are histories with any entries"""
    lengths: Ints
    """(n_histories,) entries of each of these"""
    items: Ints
    """(entries,) item ids, ascending within a history"""
    affinities: Floats
    """(entries,) above zero"""
    unscaled: Floats
    """(entries,) without the user's scale"""
    ts_ms: Ints
    """(entries,) last event times"""
    first_ms: Ints
    """(entries,) first event times"""
    corrupt: dict[int, str]
    """row -> why it is no history"""


def parse_histories(parts: Sequence[Fields], rows: range) -> ParsedHistories:
    """Return what stands in some `history` hashes, but for items that the users rejected.

    Args:
        parts: their fields; where one comes twice, the later one counts.
        rows: which hashes these are; those without fields are gone.
    """
    parsed = [_parse(fields) for fields in parts]
    corrupt = {row: problem for part in parsed for row, problem in part.corrupt.items()}
    offsets = {row: offset for part in parsed for row, offset in part.offsets.items()}
    there = np.unique(np.concatenate([_NO_IDS, *(fields.rows for fields in parts)]))
    for row in there.tolist():
        if row not in offsets:
            corrupt.setdefault(row, f"it has no field `{OFFSET_FIELD}`")
    empties = (_NO_IDS, _NO_IDS, _NO_NUMBERS, _NO_NUMBERS, _NO_IDS, _NO_IDS)
    row, item, affinity, scale, ts_ms, first_ms = (
        np.concatenate([empty, *(part.columns[number] for part in parsed)])
        for number, empty in enumerate(empties)
    )
    _, column = np.unique(item, return_inverse=True)
    order = in_order(row - rows.start, column)
    taken = affinity[order] > 0
    if corrupt:
        taken &= ~np.isin(row[order], np.array([*corrupt]))
    order = order[taken]
    lengths = np.bincount(row[order] - rows.start, minlength=len(rows))
    some = np.flatnonzero(lengths) + rows.start
    return ParsedHistories(
        offsets={row: offsets[row] for row in some.tolist()},
        lengths=lengths[lengths > 0],
        items=item[order],
        affinities=affinity[order],
        unscaled=affinity[order] / scale[order],
        ts_ms=ts_ms[order],
        first_ms=first_ms[order],
        corrupt=corrupt,
    )


class _Parsed(NamedTuple):
    columns: tuple[Ints, Ints, Floats, Floats, Ints, Ints]
    """row, item, affinity, scale, last and first time of each entry"""
    offsets: dict[int, LogPosition]
    corrupt: dict[int, str]


def _parse(fields: Fields) -> _Parsed:
    corrupt: dict[int, str] = {}
    entries = without(fields, NOT_ITEMS)
    ids, are_ids = integers(entries.buffer, entries.names)
    found = entries_of(entries.buffer, entries.values)
    for place in [*found.problems, *np.flatnonzero(~are_ids).tolist()]:
        problem = found.problems.get(place, "that is no item")
        field, value = shown(entries.name(place)), shown(entries.value(place))
        corrupt[int(entries.rows[place])] = f"field {field}, value {value}: {problem}"
    offsets = _parse_offsets(fields, corrupt)
    columns = (entries.rows, ids, found.affinities, found.scales, found.ts_ms, found.first_ms)
    return _Parsed(columns, offsets, corrupt)


def _parse_offsets(fields: Fields, corrupt: dict[int, str]) -> dict[int, LogPosition]:
    """Return row -> offset; note in `corrupt` what is none."""
    places = np.flatnonzero(fields.names.are(fields.buffer, OFFSET_FIELD.encode()))
    rows, texts = fields.rows[places].tolist(), [fields.value(place) for place in places.tolist()]
    # Each of these has one offset in it or more: as many as texts are one each.
    if all(text.startswith(b"[") and text.endswith(b"]") for text in texts):
        with suppress(ValueError, msgspec.MsgspecError):
            return dict(zip(rows, _positions.decode(b"[%b]" % b",".join(texts)), strict=True))
    offsets: dict[int, LogPosition] = {}
    for row, text in zip(rows, texts, strict=True):
        try:
            offsets[row] = parse_log_position(text)
        except (ValueError, msgspec.MsgspecError) as error:
            corrupt[row] = f"field `{OFFSET_FIELD}`, value {shown(text)}: {error}"
    return offsets
