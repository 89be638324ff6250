"""Bounds the open streams of each client."""

from collections import Counter
from collections.abc import Collection, Hashable


class TooManyStreamsError(RuntimeError):
    """A client has as many streams open as it may have."""


class Clients:
    """Counts the streams of each client, under each of its identities."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._streams: Counter[str] = Counter()
        self._names: dict[Hashable, Collection[str]] = {}

    def enter(self, stream: Hashable, names: Collection[str]) -> None:
        """Count a stream under each of the names; TooManyStreamsError if one has too many."""
        for name in names:
            if self._streams[name] >= self._limit:
                raise TooManyStreamsError(f"{self._limit} streams of {name} are open already")
        self._names[stream] = names
        self._streams.update(names)

    def leave(self, stream: Hashable) -> None:
        """Stop counting a stream."""
        for name in self._names.pop(stream):
            self._streams[name] -= 1
            if not self._streams[name]:
                del self._streams[name]
