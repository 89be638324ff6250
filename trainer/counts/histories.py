"""Reads the histories of the most recently active users, each with the offset that it stands at."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from contracts.keyspace import NOT_ITEMS, OFFSET_FIELD, HistoryEntry, Keyspace
from runtime.stores import Store
from trainer.counts.blocks import blocks
from trainer.counts.matrices import UserItems, matrix
from trainer.counts.pipelines import CorruptValueError, ask_each
from trainer.stages import Stages

USERS_PER_BLOCK: Final = 500

_entries = msgspec.json.Decoder(list[HistoryEntry])
_offset = msgspec.json.Decoder(tuple[int, int])


class History(NamedTuple):
    """What a user has."""

    user: str
    offset: tuple[int, int]
    affinities: dict[int, float]
    """item id -> r_ui"""


def read_user_items(
    store: Store, keyspace: Keyspace, partitions: int, users: int, stages: Stages
) -> UserItems:
    """Return what the `users` latest active users have, latest first.

    A user whose history is gone is left out.

    Raises:
        CorruptValueError: a history is none.
    """
    keys = _latest_users(store, keyspace, partitions, users)
    histories: list[History] = []
    for start, stop in stages.each(
        blocks(np.ones(len(keys), np.int64), USERS_PER_BLOCK), "read histories"
    ):
        block = keys[start:stop]
        hashes = ask_each(store, [key for key, _ in block], lambda pipe, key: pipe.hgetall(key))
        histories += [
            parse_history(key, user, fields)
            for (key, user), fields in zip(block, hashes, strict=True)
            if fields
        ]
    return user_items_of(histories)


def parse_history(key: str, user: str, fields: Mapping[str, str]) -> History:
    """Return what stands in a `history` hash.

    Raises:
        CorruptValueError: it is no history.
    """
    items = [item for item in fields if item not in NOT_ITEMS]
    try:
        entries = _entries.decode(f"[{','.join(fields[item] for item in items)}]")
        offset = _offset.decode(fields[OFFSET_FIELD])
        affinities = {int(i): entry.r for i, entry in zip(items, entries, strict=True)}
    except KeyError as error:
        raise CorruptValueError(key, f"it has no field `{OFFSET_FIELD}`") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise CorruptValueError(key, str(error)) from error
    return History(user, offset, affinities)


def user_items_of(histories: Sequence[History]) -> UserItems:
    """Return the matrix of some histories, a row each."""
    lengths = np.array([len(history.affinities) for history in histories], np.int64)
    entries = int(lengths.sum())
    ids = np.fromiter((i for history in histories for i in history.affinities), np.int64, entries)
    data = np.fromiter(
        (r for history in histories for r in history.affinities.values()), np.float64, entries
    )
    items, columns = np.unique(ids, return_inverse=True)
    return UserItems(
        users=[history.user for history in histories],
        offsets=[history.offset for history in histories],
        items=items,
        affinities=matrix(data, columns, lengths, len(items)),
    )


def _latest_users(
    store: Store, keyspace: Keyspace, partitions: int, users: int
) -> list[tuple[str, str]]:
    """Return key and id of the users with the latest events; equally late ones by id."""
    latest: list[tuple[float, str, int]] = []
    for partition in range(partitions):
        # One more than wanted: -1 would mean all.
        active: Any = store.zrevrange(keyspace.active(partition), 0, users, withscores=True)
        latest += [(-last_ms, user, partition) for user, last_ms in active]
    return [(keyspace.history(p, user), user) for _, user, p in sorted(latest)[:users]]
