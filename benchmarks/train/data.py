"""What `train` trains on: users with tastes, their counts, and a store that is filled with them.

Items stand in sectors in a circle; a user takes most items from one of them and the next one, in
each by Zipf's law. Every item has a user.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from benchmarks.harness.bulk import Command, write
from benchmarks.harness.zipf import draw
from contracts.keyspace import INCARNATION_FIELD, NEXT_FIELD, OFFSET_FIELD, Keyspace
from contracts.messages import Ints
from contracts.partitioning import are_in_row, instrument_partitions, user_partition
from contracts.times import DAY_MS
from contracts.topics import COOCCURRENCES, INTERACTIONS, STREAMED
from runtime.topology import Topology
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Matrix, entries_where, entry_rows

_SECTORS: Final = 500
_FROM_ANYWHERE: Final = 0.02
"""Share of items that a user takes from outside of the own sectors."""
_MEDIAN_ITEMS: Final = 20
_SPREAD_OF_ITEMS: Final = 1.0
"""Of the logarithm of how many items a user has."""
_MOST_ITEMS: Final = 500
"""The default cap of a history."""
_OFFSET: Final = 9
_BEGUN_MS: Final = 1_600_000_000_000
_FIELDS_AT_A_TIME: Final = 500_000


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Who has what, and how often items were had together."""

    user_items: Matrix
    """(n_users, n_items) R of ones"""
    gram: Matrix
    """(n_items, n_items) G = R^T R"""

    @property
    def pairs(self) -> int:
        """How many pairs of items someone has both of."""
        return (self.gram.nnz - self.gram.shape[0]) // 2

    def __str__(self) -> str:
        users, items = self.user_items.shape
        return f"{items:,} items, {self.pairs:,} pairs of them, {users:,} users"


def make(items: int, users: int, seed: int) -> Data:
    """Return data of so many items and users, the same for the same seed."""
    user_items = _user_items(users, items, np.random.default_rng(seed))
    return Data(user_items, csr_array(user_items.T @ user_items))


def fill(address: str, keyspace: Keyspace, data: Data) -> None:
    """Write counts and histories to the store at a URL, as the workers would have."""
    gram = data.gram
    is_stored = are_in_row(entry_rows(gram.indptr), gram.indices.astype(np.int64))
    write(address, _commands(keyspace, entries_where(gram, is_stored)))
    write(address, _histories(keyspace, data.user_items))


def _user_items(users: int, items: int, rng: np.random.Generator) -> Matrix:
    """Return who has what, (n_users, n_items)."""
    sizes = rng.lognormal(np.log(_MEDIAN_ITEMS), _SPREAD_OF_ITEMS, users)
    of_user = np.repeat(np.arange(users), np.clip(sizes, 1, _MOST_ITEMS).astype(np.int64))
    n, sectors = len(of_user), min(_SECTORS, items)
    sector = (rng.integers(sectors, size=users)[of_user] + rng.integers(2, size=n)) % sectors
    anywhere = rng.random(n) < _FROM_ANYWHERE
    sector[anywhere] = rng.integers(sectors, size=int(anywhere.sum()))
    # Rank r of sector s is item r x sectors + s of a shuffled row: every sector has every rank.
    place = draw(n, items // sectors, rng) * sectors + sector
    row = rng.permutation(items)
    # And each item once more, so that no item has nobody.
    users_of = np.concatenate([of_user, np.arange(items) % users])
    taken = np.concatenate([row[place], row])
    made: Matrix = csr_array((np.ones(len(taken)), (users_of, taken)), shape=(users, items))
    made.data[:] = 1
    return made


def _commands(keyspace: Keyspace, half: Matrix) -> Iterator[Command]:
    topology = Topology(**{topic.name: topic.partitions for topic in STREAMED})
    for name, value in topology.as_hash().items():
        yield "HSET", keyspace.topics(), name, value
    for topic in (INTERACTIONS, COOCCURRENCES):
        for partition in range(topic.partitions):
            key = keyspace.position(topic, partition)
            yield "HSET", key, NEXT_FIELD, _OFFSET + 1, INCARNATION_FIELD, 0
    partitions = instrument_partitions(np.arange(half.shape[0]), COOCCURRENCES.partitions).tolist()
    for item, fields in _rows(half):
        yield "SADD", keyspace.items(partitions[item]), item
        yield "HSET", keyspace.cooc(partitions[item], item), *fields


def _histories(keyspace: Keyspace, user_items: Matrix) -> Iterator[Command]:
    """Return what writes each user's history; items came one a day, in random order."""
    entries = [f'{{"r":1,"t":{_BEGUN_MS + day * DAY_MS}}}' for day in range(_MOST_ITEMS)]
    rng = np.random.default_rng(0)
    for user in range(user_items.shape[0]):
        items = user_items.indices[user_items.indptr[user] : user_items.indptr[user + 1]]
        partition = user_partition(f"u{user}", INTERACTIONS.partitions)
        days = np.resize(rng.permutation(_MOST_ITEMS), len(items))
        fields = [
            text
            for item, day in zip(items.tolist(), days.tolist(), strict=True)
            for text in (str(item), entries[day])
        ]
        key = keyspace.history(partition, f"u{user}")
        yield "HSET", key, *fields, OFFSET_FIELD, f"[0,{_OFFSET}]"
        last_ms = _BEGUN_MS + int(days.max(initial=0)) * DAY_MS
        yield "ZADD", keyspace.active(partition), last_ms, f"u{user}"


def _rows(gram: Matrix) -> Iterator[tuple[int, list[str]]]:
    """Return each item with the fields and values of its row."""
    names = np.array([str(item) for item in range(gram.shape[0])], np.object_)
    counts = np.array([str(count) for count in range(int(gram.data.max()) + 1)], np.object_)
    for start, stop in blocks(np.diff(gram.indptr).astype(np.int64), _FIELDS_AT_A_TIME):
        first, last = gram.indptr[start], gram.indptr[stop]
        flat = np.empty(2 * (last - first), np.object_)
        flat[0::2] = names[gram.indices[first:last]]
        flat[1::2] = counts[gram.data[first:last].astype(np.int64)]
        ends: Ints = 2 * (gram.indptr[start : stop + 1] - first)
        for item, begin, end in zip(range(start, stop), ends[:-1], ends[1:], strict=True):
            yield item, [*flat[begin:end].tolist(), OFFSET_FIELD, f"[0,{_OFFSET}]"]
