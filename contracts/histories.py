"""What is stored of a user's history with one item, as JSON. Pure."""

import msgspec


class HistoryEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A user's history with one item; `s`, `v` and `n` are present if users are weighted."""

    r: float
    """affinity; 0 or less: the item is rejected and does not count"""
    t: int
    """last event time, epoch ms"""
    s: float = 1
    """the user's scale, included in the affinity"""
    v: float = 0
    """sum of the values of the transactions that have one"""
    n: int = 0
    """number of transactions with a value"""
    f: int | None = None
    """first event time, epoch ms; absent: the same as the last"""

    @property
    def first_ms(self) -> int:
        """The first event time, epoch ms."""
        return self.t if self.f is None else self.f
