"""Parses a user's history from its hash in Redis. Pure."""

import heapq
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import msgspec

from api.users.answers import Held, History
from contracts.affinities import HistoryEntry
from contracts.keyspace import NOT_ITEMS, OFFSET_FIELD

Histories = Mapping[int, HistoryEntry]
"""A user's history, keyed by item."""

_OFFSET: Final = OFFSET_FIELD.encode()
_NOT_ITEMS: Final = frozenset(map(str.encode, NOT_ITEMS))

_entry = msgspec.json.Decoder(HistoryEntry)


def history_of(flat: Sequence[bytes]) -> dict[int, HistoryEntry]:
    """Return the items of a `history` hash, given as alternating fields and values."""
    decode = _entry.decode
    fields = zip(flat[::2], flat[1::2], strict=True)
    return {int(item): decode(value) for item, value in fields if item not in _NOT_ITEMS}


def offset_of(flat: Sequence[bytes]) -> bytes | None:
    """Return the offset of a `history` hash as stored, None if it has none."""
    try:
        return flat[flat.index(_OFFSET) + 1]
    except ValueError:
        return None


def rejected(history: Histories) -> list[int]:
    """Return the items that the user must not be shown: the hidden and the disliked ones."""
    return [item for item, entry in history.items() if entry.r <= 0]


def rejected_in(flat: Sequence[bytes]) -> list[int]:
    """Return the same from a `history` hash, usually without parsing it."""
    values = b"".join(flat[1::2])
    if b'"r":0,' in values or b'"r":-' in values:
        return rejected(history_of(flat))
    return []


class StoredHistory:
    """A `history` hash as Redis has it, parsed once its items are needed."""

    def __init__(self, flat: Sequence[bytes]) -> None:
        """Take alternating fields and values; none if there is no hash."""
        self._flat = flat
        self.offset = offset_of(flat)
        """as stored; None: the user has no history"""

    @cached_property
    def items(self) -> Histories:
        """The items, rejected ones included."""
        return history_of(self._flat)

    @property
    def rejected(self) -> list[int]:
        """The items that the user must not be shown."""
        return rejected_in(self._flat)


def latest_items(history: Histories, n: int) -> list[int]:
    """Return the user's `n` latest items, latest first."""
    return heapq.nsmallest(n, history, key=lambda item: (-history[item].t, item))


def history_answer(user_id: str, history: Histories) -> History:
    """Return a user's history, latest first."""
    items = latest_items(history, len(history))
    return History(user_id, [Held(item, history[item].r, history[item].t) for item in items])
