"""Reads of what is known of a user: each returns its whole answer."""

from api.http.problems import UNKNOWN_USER, Problem
from api.http.replies import OWN, Reply, reply
from api.redis.reading import Read
from api.redis.store import Store
from api.users.history import history_answer, history_of
from contracts.partitioning import user_partition


class UserReader:
    """Reads the histories of one namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def history(self, user_id: str) -> Read[Reply]:
        """Answer with what a user has."""
        topology = yield from self._store.topology()
        key = self._store.keys.history(user_partition(user_id, topology.interactions), user_id)
        (flat,) = yield [("HGETALL", key)]
        items = history_of(flat)
        if not items:
            raise Problem(UNKNOWN_USER, "The user has no history")
        return reply(history_answer(user_id, items), OWN)
