"""What Redis holds, in the form of `truth`, and how the two differ."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from tests.chaos.truth.expected import Near, Values

# Of affinities and scales, which are made of few sums and products.
_RELATIVE: Final = 1e-12
_SHOWN: Final = 20


def stored_fields(store: Store, keyspace: Keyspace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the keys of all partitions but their positions, with their fields or members."""
    for key in store.scan_iter(f"{keyspace.namespace}:*:{{*", count=1000):
        kind = store.type(key)
        if kind == "zset":
            yield key, dict(store.zrange(key, 0, -1, withscores=True))
        elif kind == "set":
            yield key, dict.fromkeys(store.smembers(key), True)
        elif kind == "hash" and ":position:" not in key:
            yield key, {field: json.loads(value) for field, value in store.hgetall(key).items()}


def differences(expected: Values, stored: Values) -> Iterable[str]:
    """Yield where the two differ, a line for each value."""
    for name in sorted(expected.keys() | stored.keys()):
        ours, theirs = expected.get(name), stored.get(name)
        if not _agree(ours, theirs):
            yield f"{' '.join(name)}: the log says {ours}, Redis has {theirs}"


def shortened(problems: Sequence[str]) -> str:
    """Return the first problems, a line each, and how many more there are."""
    more = [f"... {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "\n".join([*problems[:_SHOWN], *more])


def _agree(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Near):
        return abs(ours.value - (theirs or 0)) <= ours.within
    if isinstance(ours, dict) and isinstance(theirs, dict) and "r" in ours:
        return ours.keys() == theirs.keys() and all(
            math.isclose(ours[field], theirs[field], rel_tol=_RELATIVE if field in "rs" else 0)
            for field in ours
        )
    return bool(ours == theirs)
