"""Users' histories as a run's log makes them, and the Gram matrix of the histories as they are."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.log import Mark
from tests.chaos.modes import HALF_LIFE_DAYS, TYPICAL_VALUE, USER_WEIGHT_EXPONENT, Mode
from tests.oracles.gram import gram_of_histories
from tests.oracles.histories import History, Rules, counted, fold

Pair = tuple[int, int]


@dataclass(slots=True)
class User:
    """A history, and what goes with it."""

    entries: History = field(default_factory=dict)
    last_ts_ms: int = 0
    mark: Mark = (0, 0)


class Users:
    """All users of a log that is folded in its order, partition by partition."""

    def __init__(self, mode: Mode, cap: int) -> None:
        self._rules = Rules(
            affinity=mode.affinity,
            user_weight=mode.user_weight,
            half_life_days=HALF_LIFE_DAYS,
            history_cap=cap,
            user_weight_exponent=USER_WEIGHT_EXPONENT,
            typical_value=TYPICAL_VALUE,
        )
        self.of_id: dict[str, User] = {}
        self.erased_before_ms: dict[str, int] = {}
        """events of users who were erased that are left out: what is sent again"""
        self.largest: dict[Pair, float] = defaultdict(float)
        """the largest product that any user ever had of two items"""

    def fold(self, mark: Mark, event: Mapping[str, Any]) -> None:
        """Fold an event; one with the time of an erasure erases the user."""
        user_id = event["user_id"]
        if "erased_at" in event:
            gone = self.of_id.pop(user_id, None)
            before_ms = max(event["erased_at"], gone.last_ts_ms + 1 if gone else 0)
            if before_ms:
                known_ms = self.erased_before_ms.get(user_id, 0)
                self.erased_before_ms[user_id] = max(before_ms, known_ms)
            return
        if event["ts"] < self.erased_before_ms.get(user_id, 0):
            return
        user = self.of_id.setdefault(user_id, User())
        user.mark = mark
        user.last_ts_ms = max(user.last_ts_ms, event["ts"])
        item, kind = event["instrument_id"], event.get("event", "trade")
        for changed in fold(user.entries, item, kind, event["ts"], _value(event), self._rules):
            self._note_products(user.entries, changed)

    def gram(self) -> dict[Pair, float]:
        """Return G: of each two items that somebody has, the sum of the products."""
        return gram_of_histories(
            {item: held.affinity for item, held in counted(user.entries).items()}
            for user in self.of_id.values()
        )

    def holders(self) -> Counter[int]:
        """Return how many users have each item."""
        return Counter(item for user in self.of_id.values() for item in counted(user.entries))

    def _note_products(self, entries: History, item: int) -> None:
        mine = entries[item].affinity
        for other, held in counted(entries).items():
            product = mine * held.affinity
            for pair in ((item, other), (other, item)):
                self.largest[pair] = max(self.largest[pair], product)


def _value(event: Mapping[str, Any]) -> float | None:
    return event["price"] * event.get("quantity", 1) if "price" in event else None
