"""What Redis holds, in the form of `truth`, and how the two differ."""

import json
from collections.abc import Iterable

import redis

from contracts.keyspace import NOT_ITEMS, Keyspace
from tests.chaos.truth import Values


def stored_values(store: redis.Redis, keyspace: Keyspace) -> Values:
    """Return every value of bars, histories, active users and the Gram matrix."""
    values: Values = {}
    for key in store.scan_iter(f"{keyspace.namespace}:*", count=1000):
        kind = key.split(":")[1]
        if kind in ("bars", "history"):
            fields = store.hgetall(key).items()
            values.update({(key, field): json.loads(value) for field, value in fields})
        elif kind == "active":
            values.update(
                {(key, user): ts for user, ts in store.zrange(key, 0, -1, withscores=True)}
            )
        elif kind == "cooc":
            counts = {j: float(n) for j, n in store.hgetall(key).items() if j not in NOT_ITEMS}
            values.update({(key, j): n for j, n in counts.items() if n})
    return values


def unlisted_items(store: redis.Redis, keyspace: Keyspace) -> set[str]:
    """Return the keys of rows of G whose item the sets of items do not hold, and the reverse."""
    rows = set(store.scan_iter(f"{keyspace.namespace}:cooc:*", count=1000))
    listed = {
        key.replace(":items:", ":cooc:") + f":{item}"
        for key in store.scan_iter(f"{keyspace.namespace}:items:*", count=1000)
        for item in store.smembers(key)
    }
    return rows ^ listed


def differences(expected: Values, stored: Values) -> Iterable[str]:
    """Say where the two differ, a line a value."""
    for name in sorted(expected.keys() | stored.keys()):
        ours, theirs = expected.get(name), stored.get(name)
        if ours != theirs:
            yield f"{' '.join(name)}: the log says {ours}, Redis has {theirs}"
