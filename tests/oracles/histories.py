"""Users' histories, folded event by event in plain Python, without the workers' code.

The rules are those of docs/guarantees.md and the settings:

- an event weighs its weight x 2^(half-lives), at least 2^-400; the affinity for its item becomes 1
  if binary, the sum of what the events weigh if weighted, and the most that one does if greatest;
- an event that weighs 0 or less rejects its item: that no longer counts, and what the user has of
  it is what this event weighs, if binary only its sign; of the latest rejected items as many are
  kept as the cap says; any other event makes it a new item;
- a new item beyond the cap pushes out the one that was touched longest ago, ties to the smaller id;
- of a weighted user, an event brings the scale of its own item up to date, and that of the item
  whose scale is furthest from the user's, ties to the smaller id if they are below and the greater
  one if they are above.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from contracts.event_types import BUILT_IN
from contracts.messages import Interaction
from contracts.times import DAY_MS

DECAY_STARTS_MS: Final = 1_577_836_800_000
"""2020-01-01, UTC."""

FURTHEST_VALUE: Final = 1_000.0
"""A value counts as at most this many times the typical one, and at least as the same share."""


class Rules(NamedTuple):
    """The settings of the workers that histories depend on, under their names."""

    affinity: str
    user_weight: str
    half_life_days: float
    history_cap: int
    user_weight_exponent: float
    typical_value: float
    event_weights: str = ""

    def weight_of(self, kind: str) -> float:
        """Return what an event of that kind weighs when the decay starts."""
        assigned = (each.split("=") for each in self.event_weights.split(",") if each)
        own = {name: float(weight) for name, weight in assigned}
        return own.get(kind, BUILT_IN.get(kind, math.nan))

    @classmethod
    def of(cls, settings: Any) -> Self:
        """Return those of the workers' settings."""
        return cls(*(getattr(settings, name) for name in cls._fields))


@dataclass(slots=True)
class Held:
    """What a user has of one item."""

    ts_ms: int
    first_ms: int
    unscaled: float = 0.0
    scale: float = 1.0
    spent: float = 0.0
    """sum of the values of events, each within bounds"""
    n_spent: int = 0
    """number of these values"""
    is_rejected: bool = False

    @property
    def affinity(self) -> float:
        return self.unscaled * self.scale


History = dict[int, Held]
"""By item, rejected ones included."""


def counted(history: History) -> History:
    """Return what a history has but for rejected items."""
    return {item: held for item, held in history.items() if not held.is_rejected}


def fold(
    history: History, item: int, kind: str, ts_ms: int, value: float | None, rules: Rules
) -> Iterator[int]:
    """Fold an event; yield each item right after its affinity has changed.

    Args:
        history: of its user, which is changed.
        item: what the user did something with.
        kind: of the event.
        ts_ms: its event time, epoch ms.
        value: price x quantity; None if it has no price.
        rules: of all histories.
    """
    if rules.weight_of(kind) <= 0:
        _reject(history, item, kind, ts_ms, rules)
        return
    if not _make_room(history, item, ts_ms, rules.history_cap):
        return
    held = history.setdefault(item, Held(ts_ms, ts_ms))
    if held.is_rejected:
        held = history[item] = Held(held.ts_ms, held.first_ms)
    held.ts_ms, held.first_ms = max(held.ts_ms, ts_ms), min(held.first_ms, ts_ms)
    held.unscaled = _unscaled(held.unscaled, kind, ts_ms, rules)
    if rules.user_weight == "none":
        yield item
        return
    if rules.user_weight == "value" and value is not None:
        least, most = rules.typical_value / FURTHEST_VALUE, rules.typical_value * FURTHEST_VALUE
        held.spent += min(max(value, least), most)
        held.n_spent += 1
    scale = held.scale = _scale(counted(history), rules)
    yield item
    furthest = _furthest(counted(history), scale)
    history[furthest].scale = scale
    yield furthest


def histories(events: Iterable[Interaction], rules: Rules) -> dict[str, History]:
    """Return the history of each user who has done anything, as a batch makes it."""
    of_user: dict[str, History] = defaultdict(dict)
    for event in events:
        value = None if event.price is None else event.price * (event.quantity or 1)
        its = of_user[event.user_id]
        for _ in fold(its, event.instrument_id, event.event, event.ts, value, rules):
            pass
    return of_user


def _reject(history: History, item: int, kind: str, ts_ms: int, rules: Rules) -> None:
    before = history.get(item, Held(ts_ms, ts_ms))
    last_ms, first_ms = max(before.ts_ms, ts_ms), min(before.first_ms, ts_ms)
    history[item] = Held(last_ms, first_ms, _weight(kind, ts_ms, rules), is_rejected=True)
    rejected = [i for i, held in history.items() if held.is_rejected]
    if len(rejected) > rules.history_cap:
        del history[_oldest(history, rejected)]


def _oldest(history: History, among: Iterable[int]) -> int:
    return min(among, key=lambda i: (history[i].ts_ms, i))


def _make_room(history: History, item: int, ts_ms: int, cap: int) -> bool:
    """Return whether there is room for the item, now that the oldest may have left."""
    counting = counted(history)
    if item in counting or len(counting) < cap:
        return True
    oldest = _oldest(history, counting)
    if (ts_ms, item) < (history[oldest].ts_ms, oldest):
        return False
    del history[oldest]
    return True


def _unscaled(so_far: float, kind: str, ts_ms: int, rules: Rules) -> float:
    weight = _weight(kind, ts_ms, rules)
    return so_far + weight if rules.affinity == "weighted" else max(so_far, weight)


def _weight(kind: str, ts_ms: int, rules: Rules) -> float:
    weight = rules.weight_of(kind)
    if rules.affinity == "binary":
        return float((weight > 0) - (weight < 0))
    weighed = weight * 2.0 ** ((ts_ms - DECAY_STARTS_MS) / DAY_MS / rules.half_life_days)
    return max(weighed, 2.0**-400) if weight > 0 else weighed


def _scale(history: Mapping[int, Held], rules: Rules) -> float:
    """Return how much the user counts now."""
    if rules.user_weight == "inverse-degree":
        return float(len(history) ** -rules.user_weight_exponent)
    n = sum(held.n_spent for held in history.values())
    if not n:
        return 1.0
    mean = math.fsum(held.spent for held in history.values()) / n
    return float((mean / rules.typical_value) ** rules.user_weight_exponent)


def _furthest(history: Mapping[int, Held], scale: float) -> int:
    """Return the item whose scale is furthest from the user's, by their quotient."""
    by_scale = sorted((held.scale, item) for item, held in history.items())
    (least, low), (most, high) = by_scale[0], by_scale[-1]
    return low if scale / least >= most / scale else high
