"""Values that were asked for lately, within a bound."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lately(Generic[K, V]):
    """Keeps at least the `n` values asked for or kept last, and at most twice as many.

    Two dicts take turns: what is asked for moves into the newer one, and when that has `n`, the
    older one is dropped. That costs less per value than a list in the order of use.

    >>> kept = Lately[str, int](1)
    >>> kept.keep("a", 1); kept.keep("b", 2); kept.keep("c", 3)
    >>> kept.get("a"), kept.get("b"), kept.get("c")
    (None, 2, None)
    """

    def __init__(self, n: int) -> None:
        self._n = n
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
        if len(self._newer) >= self._n:
            self._older, self._newer = self._newer, {}
        self._newer[key] = value
