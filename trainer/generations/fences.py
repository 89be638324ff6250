"""Fencing tokens: each higher than all issued before, whatever Redis lost."""

from typing import Any, Final

from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from trainer.generations.publication import read_current

_NEXT: Final = """
local fence = math.max(redis.call('INCRBY', KEYS[1], 1), ARGV[1] + 1)
redis.call('SET', KEYS[1], string.format('%.0f', fence))
return fence
"""


def next_fence(store: Store, keyspace: Keyspace) -> int:
    """Return the fencing token of the trainer that has just taken the lock.

    The last issued token may be lost, or restored from an old backup, while generations that were
    published with later tokens exist: a token below theirs could publish nothing.
    """
    current = read_current(store, keyspace)
    last: Any = store.zrevrange(keyspace.model_generations(), 0, 0, withscores=True)
    known = [int(score) for _, score in last] + [current.fence if current else 0]
    return int(store.eval(_NEXT, 1, keyspace.model_fence(), max(known)))
