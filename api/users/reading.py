"""Reads of users' histories: each returns its complete answer."""

import random

from api.http.problems import UNKNOWN_USER, Problem
from api.http.replies import ONCE, OWN, Reply, reply
from api.redis.reading import Read
from api.redis.store import Store
from api.users.answers import Sample
from api.users.export import export_answer, own_lists
from api.users.history import history_answer, history_of, offset_of
from contracts.generations import decode_current
from contracts.partitioning import user_partition
from contracts.pointer import named


class UserReader:
    """Reads the histories of one namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def sample(self, n: int) -> Read[Reply]:
        """Answer with `n` users, or all if there are fewer.

        Each partition is asked for `n`, as all users may be in one. Users are spread evenly by
        their hashes, so this hardly biases the sample.
        """
        topology = yield from self._store.topology()
        partitions = range(topology.interactions)
        of_each = yield [("ZRANDMEMBER", self._keys.active(p), n) for p in partitions]
        found = [user_id.decode() for users in of_each for user_id in users]
        drawn = random.sample(found, min(n, len(found)))
        return reply(Sample(drawn), ONCE)

    def history(self, user_id: str) -> Read[Reply]:
        """Answer with a user's history."""
        topology = yield from self._store.topology()
        key = self._keys.history(user_partition(user_id, topology.interactions), user_id)
        (flat,) = yield [("HGETALL", key)]
        items = history_of(flat)
        if not items:
            raise Problem(UNKNOWN_USER, "The user has no history")
        return reply(history_answer(user_id, items), OWN)

    def export(self, user_id: str) -> Read[Reply]:
        """Answer with everything that Redis has about a user.

        A list alone counts, too: a training run that was in progress during the erasure may have
        left one. It is never served, but it exists.
        """
        topology = yield from self._store.topology()
        partition = user_partition(user_id, topology.interactions)
        flat, last, pointer = yield [
            ("HGETALL", self._keys.history(partition, user_id)),
            ("ZSCORE", self._keys.active(partition), user_id),
            ("GET", self._keys.model_current()),
        ]
        current = decode_current(pointer)
        generations = [] if current is None else sorted(named(current))
        asked = [("GET", self._keys.model_user(name, user_id)) for name in generations]
        values = (yield asked) if asked else []
        by_generation = dict(zip(generations, values, strict=True))
        history, lists = history_of(flat), own_lists(by_generation, offset_of(flat))
        if not history and not lists:
            raise Problem(UNKNOWN_USER, "There is no data about the user")
        last_ts = None if last is None else int(float(last))
        return reply(export_answer(user_id, history, last_ts, current, lists), ONCE)
