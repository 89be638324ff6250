"""What Redis holds, in the form of `truth`, and how the two differ."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from contracts.keyspace import ERASED_FIELD, NOT_ITEMS, OFFSET_FIELD, Keyspace
from runtime.redis.stores import Store
from tests.chaos.truth.expected import DAY_S, Expected, Values

# Of affinities and scales, which are made of few sums and products.
_RELATIVE: Final = 1e-12
_SHOWN: Final = 20
_LEFT_OUT: Final = {"s": 1, "v": 0, "n": 0}


def stored_values(store: Store, keyspace: Keyspace) -> Values:
    """Return every value of the kinds that `expected_values` computes."""
    values: Values = {}
    for key in store.scan_iter(f"{keyspace.namespace}:*", count=1000):
        kind = key.split(":")[1]
        if kind == "bars":
            fields = store.hgetall(key).items()
            values.update({(key, field): json.loads(value) for field, value in fields})
        elif kind == "history":
            values.update({(key, f): v for f, v in _history(store.hgetall(key)).items()})
        elif kind in ("active", "erased"):
            users = store.zrange(key, 0, -1, withscores=True)
            values.update({(key, user): ts for user, ts in users})
        elif kind == "trending" and f":{DAY_S}:" in key:
            events = {i: int(n) for i, n in store.hgetall(key).items() if i not in NOT_ITEMS}
            values.update({(key, item): n for item, n in events.items()})
        elif kind == "cooc":
            row = store.hgetall(key)
            counts = {j: float(n) for j, n in row.items() if j != OFFSET_FIELD}
            values.update({(key, j): n for j, n in counts.items() if n})
    return values


def _history(fields: dict[str, str]) -> dict[str, Any]:
    """Return a history's fields; of a user who was taken out there may be some without items."""
    if fields.keys() <= {OFFSET_FIELD, ERASED_FIELD}:
        return {}
    return {
        field: json.loads(value) if field in NOT_ITEMS else _entry(json.loads(value))
        for field, value in fields.items()
    }


def _entry(stored: dict[str, float]) -> dict[str, float]:
    """Return what a history has of an item, with what is left out."""
    return {**_LEFT_OUT, "f": stored["t"], **stored}


def differences(expected: Expected, stored: Values) -> Iterable[str]:
    """Yield where the two differ, a line for each value."""
    for name in sorted(expected.values.keys() | stored.keys()):
        ours, theirs = expected.values.get(name), stored.get(name)
        if not _agree(ours, theirs, expected.tolerances.get(name)):
            yield f"{' '.join(name)}: the log says {ours}, Redis has {theirs}"


def wrongly_listed(store: Store, keyspace: Keyspace) -> Iterable[str]:
    """Yield the rows of G whose item the sets of items do not hold, and the reverse.

    A row that was emptied has no counts, until a later flush deletes it.
    """
    keys = store.scan_iter(f"{keyspace.namespace}:cooc:*", count=1000)
    rows = {key for key in keys if not NOT_ITEMS.issuperset(store.hkeys(key))}
    listed = {
        key.replace(":items:", ":cooc:") + f":{item}"
        for key in store.scan_iter(f"{keyspace.namespace}:items:*", count=1000)
        for item in store.smembers(key)
    }
    for key in rows ^ listed:
        yield f"{key} has a row and is not listed, or is listed and has none"


def shortened(problems: Sequence[str]) -> str:
    """Return the first problems, a line each, and how many more there are."""
    more = [f"... {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "\n".join([*problems[:_SHOWN], *more])


def _agree(ours: Any, theirs: Any, tolerance: float | None) -> bool:
    if tolerance is not None:
        return abs((ours or 0) - (theirs or 0)) <= tolerance
    if isinstance(ours, dict) and isinstance(theirs, dict) and "r" in ours:
        return ours.keys() == theirs.keys() and all(
            math.isclose(ours[field], theirs[field], rel_tol=_RELATIVE if field in "rs" else 0)
            for field in ours
        )
    return bool(ours == theirs)
