"""For how long open transactions have held logs back. Pure."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Partition = TypeVar("Partition", bound=Hashable)


class OpenTransactions(Generic[Partition]):
    """Remembers since when each log can be read up to the same offset and no further.

    While producers commit one transaction after the other, some is open at almost any time. That
    offset moves then; behind a transaction that nobody ends it does not.
    """

    def __init__(self) -> None:
        self._since: dict[Partition, tuple[int, float]] = {}

    def seconds(self, held: Mapping[Partition, int], now_s: float) -> dict[Partition, float]:
        """Return for how long each log has been held back at the offset where it is now.

        Args:
            held: the logs that are held back now, and the first offset that cannot be read.
            now_s: of a clock that never goes back.

        >>> its = OpenTransactions()
        >>> its.seconds({"a": 7}, 0.0), its.seconds({"a": 7}, 5.0), its.seconds({"a": 8}, 6.0)
        ({'a': 0.0}, {'a': 5.0}, {'a': 0.0})
        """
        self._since = {
            partition: before
            if (before := self._since.get(partition)) and before[0] == offset
            else (offset, now_s)
            for partition, offset in held.items()
        }
        return {partition: now_s - since for partition, (_, since) in self._since.items()}
