"""A history as Redis has it: a hash of the user's items, and the offset. Pure."""

from collections.abc import Sequence

import msgspec

from contracts.keyspace import OFFSET_FIELD, HistoryEntry
from stream_processors.histories.fold import History
from stream_processors.marks import NOTHING, incarnation_and_offset, mark

_entry = msgspec.json.Decoder(HistoryEntry)
_offset = msgspec.json.Decoder(tuple[int, int])
_encode = msgspec.json.Encoder().encode


def history_of(answer: Sequence[str], *, scaled: bool) -> History:
    """Return the history that Redis holds, with the scales in it if users are weighted."""
    stored = dict(zip(answer[::2], answer[1::2], strict=True))
    offset = stored.pop(OFFSET_FIELD, None)
    items, entries = [int(name) for name in stored], [_entry.decode(v) for v in stored.values()]
    history = History.of(
        mark=NOTHING if offset is None else mark(*_offset.decode(offset)),
        items=items,
        affinities=[entry.r for entry in entries],
        ts_ms=[entry.t for entry in entries],
    )
    if scaled:
        both = list(zip(items, entries, strict=True))
        history.scale = {item: entry.s for item, entry in both}
        history.spent = {item: (entry.v, entry.n) for item, entry in both if entry.n}
    return history


def touched_fields(history: History) -> list[str]:
    """Return fields and values that Redis does not have yet: the offset, and touched items."""
    fields = [OFFSET_FIELD, _encode(incarnation_and_offset(history.mark)).decode()]
    for item in history.touched:
        fields += (str(item), _encode(_entry_of(history, item)).decode())
    return fields


def _entry_of(history: History, item: int) -> HistoryEntry:
    """Return what Redis is to hold of an item."""
    place = history.place_of[item]
    affinity, ts_ms = _number(float(history.affinity[place])), history.ts_ms[place]
    if not history.scale:
        return HistoryEntry(r=affinity, t=ts_ms)
    total, n = history.spent.get(item, (0.0, 0))
    return HistoryEntry(r=affinity, t=ts_ms, s=history.scale[item], v=total, n=n)


def _number(value: float) -> float:
    """Return a whole number as an int, so that people read 3 and not 3.0."""
    return int(value) if value.is_integer() else value
