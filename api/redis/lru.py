"""A bounded cache of recently used values."""

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Keeps at least the most recently used values of total size `n`, and at most twice as much.

    There are two dicts: a value that is used moves into the newer one, and when that has reached
    `n`, the older one is dropped. That costs less per value than maintaining the order of use.

    >>> cache = LruCache[str, int](1)
    >>> cache.keep("a", 1); cache.keep("b", 2); cache.keep("c", 3)
    >>> cache.get("a"), cache.get("b"), cache.get("c")
    (None, 2, 3)
    """

    def __init__(self, n: int, size_of: Callable[[V], int] = lambda _: 1) -> None:
        """Create an empty cache; every value has size 1 unless `size_of` is given."""
        self._n = n
        self._size_of = size_of
        self._size = 0
        """The total size of the newer dict."""
        self._newer: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the value of `key`, None if it is not kept."""
        value = self._newer.get(key)
        if value is None:
            value = self._older.get(key)
            if value is not None:
                self.keep(key, value)
        return value

    def keep(self, key: K, value: V) -> None:
        """Keep a value, which must not be None."""
        if self._size >= self._n:
            self._older, self._newer, self._size = self._newer, {}, 0
        replaced = self._newer.get(key)
        if replaced is not None:
            self._size -= self._size_of(replaced)
        self._size += self._size_of(value)
        self._newer[key] = value
