"""Users' histories, worked out event by event, and the Gram matrix of the histories as they are.

The rules are those of docs/guarantees.md and the settings, in plain Python:

- an event weighs its weight x 2^(half-lives); the affinity for its item becomes 1 if binary, the
  sum of what the events weigh if weighted, the most that one of them weighs if greatest;
- a new item beyond the cap pushes out the one that was touched longest ago, ties to the smaller id;
- of a weighted user, an event brings the scale of its own item up to date, and that of the item
  whose scale is furthest from the user's.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.log import Mark
from tests.chaos.modes import HALF_LIFE_DAYS, TYPICAL_VALUE, USER_WEIGHT_EXPONENT, Mode

_WEIGHTS: Final = {"view": 1.0, "click": 2.0, "watch": 3.0, "trade": 5.0}
_DECAY_STARTS_MS: Final = 1_577_836_800_000
_DAY_MS: Final = 86_400_000
_FURTHEST_VALUE: Final = 1_000.0

Pair = tuple[int, int]


@dataclass(slots=True)
class Entry:
    """What a user has with an item."""

    ts_ms: int
    affinity: float = 0.0
    scale: float = 1.0
    spent: float = 0.0
    n_spent: int = 0


@dataclass(slots=True)
class User:
    """A history, and what goes with it."""

    entries: dict[int, Entry] = field(default_factory=dict)
    last_ts_ms: int = 0
    mark: Mark = (0, 0)


class Users:
    """All users of a log that is folded in its order, partition by partition."""

    def __init__(self, mode: Mode, cap: int) -> None:
        self._mode = mode
        self._cap = cap
        self.of_id: dict[str, User] = {}
        self.erased_before_ms: dict[str, int] = {}
        """events of users who were erased that are left out: what is sent again"""
        self.largest: dict[Pair, float] = defaultdict(float)
        """the largest product that any user ever had of two items"""

    def fold(self, mark: Mark, event: Mapping[str, Any]) -> None:
        """Fold an event; one without an item erases the user."""
        user_id = event["user_id"]
        if "instrument_id" not in event:
            gone = self.of_id.pop(user_id, None)
            if gone:
                self.erased_before_ms[user_id] = gone.last_ts_ms + 1
            return
        if event["ts"] < self.erased_before_ms.get(user_id, 0):
            return
        user = self.of_id.setdefault(event["user_id"], User())
        user.mark = mark
        user.last_ts_ms = max(user.last_ts_ms, event["ts"])
        item = event["instrument_id"]
        if not self._make_room(user.entries, item, event["ts"]):
            return
        for changed in self._raise(user.entries, item, event):
            self._note_products(user.entries, changed)

    def gram(self) -> dict[Pair, float]:
        """Return G: of each two items that somebody has, the sum of the products."""
        products: dict[Pair, list[float]] = defaultdict(list)
        for user in self.of_id.values():
            for i, mine in user.entries.items():
                for j, other in user.entries.items():
                    products[i, j].append(mine.affinity * other.affinity)
        return {pair: math.fsum(of_pair) for pair, of_pair in products.items()}

    def holders(self) -> Counter[int]:
        """Return how many users have each item."""
        return Counter(item for user in self.of_id.values() for item in user.entries)

    def _make_room(self, entries: dict[int, Entry], item: int, ts_ms: int) -> bool:
        """Return whether there is room for the item, now that the oldest may have left."""
        if item in entries or len(entries) < self._cap:
            return True
        oldest = min(entries, key=lambda i: (entries[i].ts_ms, i))
        if (ts_ms, item) < (entries[oldest].ts_ms, oldest):
            return False
        del entries[oldest]
        return True

    def _raise(
        self, entries: dict[int, Entry], item: int, event: Mapping[str, Any]
    ) -> Iterator[int]:
        """Raise the affinity; yield the items whose affinities have changed."""
        mine = entries.setdefault(item, Entry(event["ts"]))
        mine.ts_ms = max(mine.ts_ms, event["ts"])
        unscaled = self._unscaled(mine.affinity / mine.scale, event)
        if self._mode.user_weight == "value":
            _note_value(mine, event)
        scale = self._scale(entries)
        mine.affinity, mine.scale = unscaled * scale, scale
        yield item
        if self._mode.user_weight != "none":
            furthest = _furthest(entries, scale)
            other = entries[furthest]
            other.affinity, other.scale = other.affinity / other.scale * scale, scale
            yield furthest

    def _unscaled(self, so_far: float, event: Mapping[str, Any]) -> float:
        if self._mode.affinity == "binary":
            return 1.0
        half_lives = (event["ts"] - _DECAY_STARTS_MS) / _DAY_MS / HALF_LIFE_DAYS
        weight = _WEIGHTS[event.get("event", "trade")] * 2.0**half_lives
        return max(so_far, weight) if self._mode.affinity == "greatest" else so_far + weight

    def _scale(self, entries: Mapping[int, Entry]) -> float:
        if self._mode.user_weight == "inverse-degree":
            return float(len(entries) ** -USER_WEIGHT_EXPONENT)
        n = sum(entry.n_spent for entry in entries.values())
        if self._mode.user_weight == "none" or not n:
            return 1.0
        mean = math.fsum(entry.spent for entry in entries.values()) / n
        return float((mean / TYPICAL_VALUE) ** USER_WEIGHT_EXPONENT)

    def _note_products(self, entries: Mapping[int, Entry], item: int) -> None:
        mine = entries[item].affinity
        for other, entry in entries.items():
            product = mine * entry.affinity
            for pair in ((item, other), (other, item)):
                self.largest[pair] = max(self.largest[pair], product)


def _note_value(mine: Entry, event: Mapping[str, Any]) -> None:
    if "price" in event:
        value = event["price"] * event.get("quantity", 1)
        least, most = TYPICAL_VALUE / _FURTHEST_VALUE, TYPICAL_VALUE * _FURTHEST_VALUE
        mine.spent += min(max(value, least), most)
        mine.n_spent += 1


def _furthest(entries: Mapping[int, Entry], scale: float) -> int:
    """Return the item whose scale is furthest from the user's, by their quotient."""
    by_scale = sorted((entry.scale, item) for item, entry in entries.items())
    (least, low), (most, high) = by_scale[0], by_scale[-1]
    return low if scale / least >= most / scale else high
