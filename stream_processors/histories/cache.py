"""A worker's cache of histories. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from stream_processors.histories.history import History

# Overhead of a history in memory, in items.
_OVERHEAD: Final = 16
_REJECTED: Final = 8
"""That of a rejected item."""


class HistoryCache:
    """Histories by user: all that differ from Redis, and others up to a bound.

    Sizes are in items, of some 24 bytes each.
    """

    def __init__(self, size_at_most: int) -> None:
        """Take the bound of the histories that do not differ from Redis."""
        self._size_at_most = size_at_most
        self._changed: dict[str, History] = {}
        # Least recently changed first.
        self._others: dict[str, History] = {}
        self._others_size = 0
        self.changed_size = 0
        """since when histories differ from Redis"""

    @property
    def changed(self) -> Mapping[str, History]:
        """The histories that differ from Redis, by user."""
        return self._changed

    def unknown(self, users: Iterable[str]) -> list[str]:
        """Return the users whose histories must be given to `insert` before `get`."""
        return [user for user in users if user not in self._changed and user not in self._others]

    def insert(self, user: str, history: History) -> None:
        """Insert what Redis holds of a user."""
        self._others[user] = history
        self._others_size += _size(history)

    def get(self, user: str) -> History:
        """Return a user's history, read-only."""
        history = self._changed.get(user)
        return self._others[user] if history is None else history

    def change(self, user: str) -> History:
        """Return a user's history to be changed."""
        history = self._changed.get(user)
        if history is None:
            history = self._changed[user] = self._others.pop(user)
            size = _size(history)
            self._others_size -= size
            self.changed_size += size
        return history

    def settle(self) -> None:
        """Note that Redis is up to date; forget the least recently changed histories."""
        for user, history in self._changed.items():
            history.settle()
            self.insert(user, history)
        self._changed.clear()
        self.changed_size = 0
        while self._others_size > self._size_at_most:
            self._others_size -= _size(self._others.pop(next(iter(self._others))))


def _size(history: History) -> int:
    return len(history) + _REJECTED * len(history.rejected) + _OVERHEAD
