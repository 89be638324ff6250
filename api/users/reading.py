"""Reads of users' histories, and of everything that Redis has about one."""

import random
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from api.http.problems import UNKNOWN_USER, Problem
from api.http.reply import ONCE, OWN, Reply, reply
from api.redis.reading import Read
from api.redis.store import Store
from api.users.answers import Export, KnownItem, OwnItem, OwnList, Sample
from api.users.history import Histories, history_answer, history_of, latest_items, offset_of
from contracts.generations import Current, UserList, decode_current
from contracts.log_position import LogPosition, parse_log_position
from contracts.partitioning import user_partition
from contracts.pointer import named, served_to

_list: Final = msgspec.json.Decoder(UserList)


def own_lists(values: Mapping[str, bytes | None], offset: bytes | None) -> list[OwnList]:
    """Return the user's own lists.

    Args:
        values: generation -> its list of the user, None if it has none.
        offset: of the history, as stored there; None if there is none.
    """
    live = None if offset is None else parse_log_position(offset)
    return [
        _own_list(generation, _list.decode(value), live)
        for generation, value in values.items()
        if value is not None
    ]


def export_answer(
    user_id: str,
    history: Histories,
    last_event_ts: int | None,
    current: Current | None,
    lists: Sequence[OwnList],
) -> Export:
    """Return the export of a user; `current` is what is served, None if nothing is."""
    found = None if current is None else served_to(user_id, current)
    variant, served = found or (None, None)
    return Export(
        user_id,
        last_event_ts,
        variant,
        None if served is None else served.generation,
        [_known(item, history) for item in latest_items(history, len(history))],
        list(lists),
    )


def _known(item: int, history: Histories) -> KnownItem:
    entry = history[item]
    scale, value = float(entry.s), float(entry.v)
    return KnownItem(item, entry.r, entry.first_ms, entry.t, scale, value, entry.n)


def _own_list(generation: str, found: UserList, live: LogPosition | None) -> OwnList:
    items = [
        OwnItem(int(one.item), one.score, [int(item) for item in one.because])
        for one in found.items
    ]
    return OwnList(generation, found.model, found.off == live, items)


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
