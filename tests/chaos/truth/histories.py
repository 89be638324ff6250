"""Users' histories as a run's log makes them, and the Gram matrix of the histories as they are."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from contracts.keyspace import ERASED_FIELD, NOT_ITEMS, OFFSET_FIELD
from contracts.partitioning import user_partition
from contracts.tombstones import pseudonym
from contracts.topics import INTERACTIONS
from tests.chaos.log import Mark
from tests.chaos.modes import HALF_LIFE_DAYS, TYPICAL_VALUE, USER_WEIGHT_EXPONENT, Mode
from tests.chaos.truth.expected import Name, Run
from tests.chaos.truth.messages import good
from tests.oracles.gram import gram_of_histories
from tests.oracles.histories import Held, History, Rules, counted, fold

_LEFT_OUT: Final = {"s": 1, "v": 0, "n": 0}
Pair = tuple[int, int]


@dataclass(slots=True)
class User:
    entries: History = field(default_factory=dict)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    """that count, in the log's order"""
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
        """Fold an event; one with the time of an erasure removes the user."""
        user_id = event["user_id"]
        if "erased_at" in event:
            last_ms = self.of_id[user_id].last_ts_ms if user_id in self.of_id else -1
            bound_ms = event.get("last_before", 0)
            if bound_ms and last_ms >= bound_ms:
                return
            self.of_id.pop(user_id, None)
            before_ms = max(event["erased_at"], last_ms + 1)
            if before_ms and not bound_ms:
                known_ms = self.erased_before_ms.get(user_id, 0)
                self.erased_before_ms[user_id] = max(before_ms, known_ms)
            return
        if event["ts"] < self.erased_before_ms.get(user_id, 0):
            return
        user = self.of_id.setdefault(user_id, User())
        user.mark = mark
        user.events.append(event)
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
        return Counter(item for user in self.of_id.values() for item in counted(user.entries))

    def _note_products(self, entries: History, item: int) -> None:
        mine = entries[item].affinity
        for other, held in counted(entries).items():
            product = mine * held.affinity
            for pair in ((item, other), (other, item)):
                self.largest[pair] = max(self.largest[pair], product)


@lru_cache(maxsize=1)
def users_of(run: Run) -> Users:
    users = Users(run.mode, run.cap)
    for p in range(run.topology.interactions):
        for mark, event in good(run.log.counted((INTERACTIONS.name, p)), INTERACTIONS):
            users.fold(mark, event)
    return users


def marks(run: Run, key: Callable[[int, str], str]) -> Iterator[tuple[Name, Any]]:
    """Yield what a fold by user writes of each user: the offset, and when one was erased before."""
    users = users_of(run)
    for user_id, user in users.of_id.items():
        name = key(user_partition(user_id, run.topology.interactions), user_id)
        yield (name, OFFSET_FIELD), list(user.mark)
        if user_id in users.erased_before_ms:
            yield (name, ERASED_FIELD), users.erased_before_ms[user_id]


def expected(run: Run) -> Iterator[tuple[Name, Any]]:
    users, keyspace = users_of(run), run.keyspace
    yield from marks(run, keyspace.history)
    for user_id, user in users.of_id.items():
        p = user_partition(user_id, run.topology.interactions)
        key = keyspace.history(p, user_id)
        yield (keyspace.active(p), user_id), user.last_ts_ms
        for item, entry in user.entries.items():
            yield (key, str(item)), entry_as_stored(entry)
    for user_id, before_ms in users.erased_before_ms.items():
        p = user_partition(user_id, run.topology.interactions)
        yield (keyspace.erased(p), pseudonym(user_id)), before_ms


def entry_as_stored(entry: Held) -> dict[str, float]:
    """Return what a history has of an item, with what is left out where it is the default."""
    return {
        "r": entry.affinity,
        "t": entry.ts_ms,
        "s": entry.scale,
        "v": entry.spent,
        "n": entry.n_spent,
        "f": entry.first_ms,
    }


def compared(kind: str, _rest: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a history with what is left out."""
    if kind != "history":
        return fields
    return {
        field: value if field in NOT_ITEMS else {**_LEFT_OUT, "f": value["t"], **value}
        for field, value in fields.items()
    }


def _value(event: Mapping[str, Any]) -> float | None:
    return event["price"] * event.get("quantity", 1) if "price" in event else None
