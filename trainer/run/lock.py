"""One trainer at a time: a lock in Redis with a lease, and a fencing token for its holder.

The lock only saves work. The token keeps two trainers from harming each other; it grows with every
holder: one that was paused, lost its lease and resumed cannot publish over its successor
(`trainer.generations.publication`).

Source: Kleppmann, "How to do distributed locking", 2016.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from redis.exceptions import RedisError

from contracts.keyspace import Keyspace
from runtime.redis.stores import UNAVAILABLE, Store
from trainer.generations.publication import read_current

LEASE_S: Final = 15
"""How long the lock of a trainer that died blocks the next one."""
RENEWALS_PER_LEASE: Final = 3
WAIT_S: Final = 0.1
"""Between two checks of a lock that another trainer holds."""

_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

_NEXT: Final = """
local fence = math.max(redis.call('INCRBY', KEYS[1], 1), ARGV[1] + 1)
redis.call('SET', KEYS[1], string.format('%.0f', fence))
return fence
"""


class LockedError(RuntimeError):
    """Another trainer holds the lock."""


class LeaseLostError(RuntimeError):
    """The lock was not renewed in time: another trainer may hold it by now."""


class Lease:
    """The lock while it is held; a thread renews it."""

    def __init__(self, store: Store, keyspace: Keyspace, lease_s: float) -> None:
        self.fence = 0
        """the fencing token, above that of every earlier holder"""
        self._store = store
        self._key = keyspace.model_lock()
        self._under_way = keyspace.model_under_way()
        self._lease_s = lease_s
        self._owner = secrets.token_hex(16)
        self._valid_until = time.monotonic()
        self._ended = threading.Event()

    def check(self) -> None:
        """Return if the lock is still held.

        Raises:
            LeaseLostError: it may not be.
        """
        if time.monotonic() >= self._valid_until:
            raise LeaseLostError(
                f"the lock {self._key} was not renewed within its {self._lease_s} s"
            )

    def take(self) -> bool:
        """Return whether the lock was free, and is held now."""
        asked_at = time.monotonic()
        taken = self._store.set(self._key, self._owner, nx=True, px=self._lease_ms)
        # If the connection broke after the command was done, the client's second try finds our own.
        if not taken and self._store.get(self._key) != self._owner:
            return False
        self._valid_until = asked_at + self._lease_s
        return True

    def keep(self) -> None:
        """Renew until `give_back` is called or the lock is another's; and what is under way."""
        while not self._ended.wait(self._lease_s / RENEWALS_PER_LEASE):
            asked_at = time.monotonic()
            # If Redis is away, the lease may outlast that; `check` raises if not.
            with suppress(RedisError):
                if not self._store.eval(_RENEW, 1, self._key, self._owner, self._lease_ms):
                    self._valid_until = asked_at
                    return
                self._valid_until = asked_at + self._lease_s
                self._store.pexpire(self._under_way, self._lease_ms)

    def give_back(self) -> None:
        """Free the lock, if it is still ours."""
        self._ended.set()
        with suppress(*UNAVAILABLE):  # then it ends with its lease
            self._store.eval(_RELEASE, 1, self._key, self._owner)

    @property
    def _lease_ms(self) -> int:
        return round(self._lease_s * 1000)


@contextmanager
def held(
    store: Store,
    keyspace: Keyspace,
    lease_s: float,
    wait_s: float,
    pause: Callable[[float], bool],
) -> Iterator[Lease]:
    """Hold the lock while the context lasts.

    Args:
        store: where the lock is.
        keyspace: names it.
        lease_s: how long it outlasts a dead holder.
        wait_s: how long to wait for another holder.
        pause: waits for so many seconds, and returns true to give up.

    Raises:
        LockedError: another trainer held it, for `wait_s` seconds or until the pause gave up.
    """
    lease = Lease(store, keyspace, lease_s)
    give_up_at = time.monotonic() + wait_s
    while not lease.take():
        if time.monotonic() >= give_up_at or pause(WAIT_S):
            raise LockedError(f"another trainer holds {keyspace.model_lock()}")
    renewal = threading.Thread(target=lease.keep, name="lease", daemon=True)
    renewal.start()
    try:
        lease.fence = next_fence(store, keyspace)
        yield lease
    finally:
        lease.give_back()
        renewal.join()


def next_fence(store: Store, keyspace: Keyspace) -> int:
    """Return the fencing token of the trainer that has just taken the lock.

    The last issued token may be lost, or restored from an old backup, while generations that were
    published with later tokens exist: a token below theirs could publish nothing.
    """
    current = read_current(store, keyspace)
    last: Any = store.zrevrange(keyspace.model_generations(), 0, 0, withscores=True)
    known = [int(score) for _, score in last] + [current.fence if current else 0]
    return int(store.eval(_NEXT, 1, keyspace.model_fence(), max(known)))
