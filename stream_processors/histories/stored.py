"""A history as stored in Redis: a hash of the user's items, and the offset. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from contracts.affinities import HistoryEntry
from contracts.keyspace import ERASED_FIELD, OFFSET_FIELD
from contracts.log_position import mark_of
from contracts.tombstones import NEVER_MS
from stream_processors.erasure import value_commands
from stream_processors.histories.history import ENTRY, SCALED_ENTRY, History, Rejected
from stream_processors.store.chunks import ON_INDEX, Commands, command

_entries = msgspec.json.Decoder(list[HistoryEntry])
_encode = msgspec.json.Encoder().encode
_WHOLE_BELOW: Final = 2.0**53
_UNSCALED: Final = (1, 0, 0)
"""Scale, total and number of values where users are not weighted, and of rejected items; msgspec
omits ints like these."""


def history_of(answer: Sequence[str], *, scaled: bool) -> History:
    """Return the history stored in Redis, with scales if users are weighted.

    Args:
        answer: fields and values, alternating; of no hash, or of one with its offset.
        scaled: whether users are weighted.
    """
    if not answer:
        return History.empty(scaled=scaled)
    stored = dict(zip(answer[::2], answer[1::2], strict=True))
    offset, erased = stored.pop(OFFSET_FIELD), stored.pop(ERASED_FIELD, NEVER_MS)
    found = _entries.decode(f"[{','.join(stored.values())}]")
    by_item = dict(zip(map(int, stored), found, strict=True))
    rejected = {item: entry for item, entry in by_item.items() if entry.r <= 0}
    for item in rejected:
        del by_item[item]
    entries = by_item.values()
    rows = np.empty(len(entries), SCALED_ENTRY if scaled else ENTRY)
    rows["item"] = [*by_item]
    rows["affinity"] = [entry.r for entry in entries]
    rows["ts_ms"] = [entry.t for entry in entries]
    rows["first_ms"] = [entry.first_ms for entry in entries]
    if scaled:
        rows["scale"] = [entry.s for entry in entries]
        rows["total"] = [entry.v for entry in entries]
        rows["n_values"] = [entry.n for entry in entries]
    history = History(rows, mark_of(offset))
    history.erased_before_ms = int(erased)
    history.rejected = {
        item: Rejected(entry.r, entry.t, entry.first_ms) for item, entry in rejected.items()
    }
    history.is_emptied = history.is_bare
    return history


def history_commands(user: str, history: History) -> Commands:
    """Return the writes of a user's hash and the index of users."""
    commands: Commands = []
    if history.is_emptied:
        commands += [*command("UNLINK", []), *command("ZREM", [user], ON_INDEX)]
    if history.removed:
        commands += command("HDEL", list(map(str, history.removed)))
    commands += value_commands(history, _fields(history))
    if not history.is_bare:
        commands += command("ZADD", ["GT", str(history.last_ts_ms()), user], ON_INDEX)
    return commands


def _fields(history: History) -> list[str]:
    """Return fields and values that Redis does not have yet: touched items."""
    fields: list[str] = []
    if history.touched:
        for item, affinity, ts_ms, first_ms, *scaled in history.records_of(history.touched):
            scale, total, n_values = scaled or _UNSCALED
            fields += _field(item, affinity, ts_ms, first_ms, scale, total, n_values)
    if history.rejected:
        for item in history.touched & history.rejected.keys():
            fields += _field(item, *history.rejected[item], *_UNSCALED)
    return fields


def _field(
    item: int,
    affinity: float,
    ts_ms: int,
    first_ms: int,
    scale: float,
    total: float,
    n_values: int,
) -> tuple[str, str]:
    """Return the field of an item, and its value."""
    first = None if first_ms == ts_ms else first_ms
    entry = HistoryEntry(_number(affinity), ts_ms, scale, total, n_values, first)
    return str(item), _encode(entry).decode()


def _number(value: float) -> float:
    """Return a whole number as an int, so that it reads 3 and not 3.0.

    From 2^53 on all floats are whole, and an int would be written with all its digits.
    """
    return int(value) if value.is_integer() and abs(value) < _WHOLE_BELOW else value
