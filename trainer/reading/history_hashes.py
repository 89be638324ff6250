"""From the fields of `history` hashes to columns of entries. Pure."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
import numpy as np

from contracts.keyspace import NOT_ITEMS, OFFSET_FIELD
from contracts.log_position import LogPosition, parse_log_position
from contracts.messages import Floats, Ints
from trainer.counts.matrices import in_order
from trainer.reading.entries import entries_of
from trainer.reading.fields import Fields, without
from trainer.reading.numerals import integers
from trainer.reading.quarantine import shown

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
