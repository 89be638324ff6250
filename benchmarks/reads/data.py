"""What the store holds, written as the other programs would have written it, and the paths to it.

Instruments are numbered, users are `user-N`. Popularity and activity go by shuffled numbers, so
that a low number means nothing. The first users have a list of their own, made from what they have
now, as the trainer makes one for the 10,000 who were active last; all others have none, so that
their recommendations are worked out when they are asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from rich.console import Console

from benchmarks.harness import zipf
from benchmarks.harness.bulk import Command, write
from benchmarks.reads import lists
from benchmarks.reads.histories import histories
from contracts.generations import DEFAULT_VARIANT, Current, Served
from contracts.keyspace import Keyspace
from contracts.messages import Ints
from contracts.partitioning import user_partition
from runtime.topology import Topology

DRAWN: Final = 100_000
"""paths that wrk goes through in turn, and then once more"""

SEED: Final = 1
GENERATION: Final = "20210816T233205Z-1"
_OWN_LISTS: Final = 10_000
"""the trainer's default"""
_LONG_HISTORIES: Final = 1_000
_SHARE: Final = 10
"""Of so many users at most one is of either kind: for a few users, as a test has them."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    instruments: int
    users: int

    @property
    def with_own_list(self) -> int:
        """How many users have a list of their own: the first ones."""
        return min(_OWN_LISTS, self.users // _SHARE)

    @property
    def with_long_history(self) -> int:
        """How many users have as many instruments as they may: the last ones."""
        return min(_LONG_HISTORIES, self.users // _SHARE)

    @property
    def with_own_list_ids(self) -> Ints:
        """The users who have a list of their own, most active first."""
        return np.random.default_rng(SEED).permutation(self.with_own_list)

    @property
    def without_list_ids(self) -> Ints:
        """The users who have no list of their own, nor a long history, most active first."""
        numbers = np.arange(self.with_own_list, self.users - self.with_long_history)
        return np.random.default_rng(SEED).permutation(numbers)

    def __str__(self) -> str:
        return (
            f"{self.instruments:,} instruments with {lists.NEIGHBORS} neighbors each, "
            f"{self.users:,} users"
        )


def by_popularity(size: Size) -> Ints:
    """Return the instruments' ids, most popular first, (n_instruments,)."""
    return np.random.default_rng(SEED).permutation(size.instruments)


def user_id(number: int) -> str:
    """Return a user's id: with a letter, since digits mean an instrument in the first paths."""
    return f"user-{number}"


def load(
    address: str, keyspace: Keyspace, topology: Topology, size: Size, now_ms: int, console: Console
) -> None:
    """Write everything but the bars to the store at a URL; the pointer to the lists comes last."""
    popularity, rng = by_popularity(size), np.random.default_rng(SEED)
    parts = (
        ("lists", _similar(keyspace, popularity, rng)),
        ("users' own lists", _own(keyspace, popularity, size.with_own_list)),
        ("histories", _histories(keyspace, topology, popularity, size, now_ms, rng)),
    )
    for name, commands in parts:
        with console.status(name):
            write(address, commands)
    write(address, _pointers(keyspace, topology, popularity))


def _pointers(keyspace: Keyspace, topology: Topology, popularity: Ints) -> Iterator[Command]:
    """Return what makes the rest readable."""
    for name, value in topology.as_hash().items():
        yield "HSET", keyspace.topics(), name, value
    yield "SET", keyspace.model_popular(GENERATION), lists.popular_list(popularity)
    current = Current(1, {DEFAULT_VARIANT: Served(GENERATION, lists.MODEL, lists.USER_MODEL)})
    yield "SET", keyspace.model_current(), msgspec.json.encode(current)


def _similar(keyspace: Keyspace, popularity: Ints, rng: np.random.Generator) -> Iterator[Command]:
    for item, encoded in lists.similar_lists(popularity, rng):
        yield "SET", keyspace.model_similar(GENERATION, str(item)), encoded


def _own(keyspace: Keyspace, popularity: Ints, users: int) -> Iterator[Command]:
    for user in range(users):
        key = keyspace.model_user(GENERATION, user_id(user))
        yield "SET", key, lists.own_list(user, popularity)


def _histories(
    keyspace: Keyspace,
    topology: Topology,
    popularity: Ints,
    size: Size,
    now_ms: int,
    rng: np.random.Generator,
) -> Iterator[Command]:
    long = size.with_long_history
    for user, fields in histories(size.users, popularity, now_ms, rng, long=long):
        partition = user_partition(user_id(user), topology.interactions)
        yield "HSET", keyspace.history(partition, user_id(user)), *fields


def instrument_paths(size: Size, template: str) -> list[str]:
    """Return the path of each of some instruments, those that are popular more often."""
    return [template.format(instrument) for instrument in _drawn(by_popularity(size))]


def user_paths(ids: Ints, template: str) -> list[str]:
    """Return the path of each of some users, those that are active more often."""
    return [template.format(user_id(user)) for user in _drawn(ids)]


def batched_paths(size: Size, template: str, n: int) -> list[list[str]]:
    """Return paths of users without a list, each in one batch of `n`; the remainder in none.

    If there are fewer users, one batch has all of them.
    """
    paths = [template.format(user_id(user)) for user in size.without_list_ids.tolist()]
    n = min(n, len(paths))
    return [paths[first : first + n] for first in range(0, len(paths) - n + 1, n)]


def long_history_paths(size: Size, template: str) -> list[str]:
    """Return paths of users with long histories, each without another instrument."""
    users = range(size.users - size.with_long_history, size.users)
    return [
        f"{template.format(user_id(user))}?exclude={excluded}"
        for excluded, user in enumerate(users)
    ]


def _drawn(ids: Ints) -> list[int]:
    drawn: list[int] = ids[zipf.draw(DRAWN, len(ids), np.random.default_rng(SEED))].tolist()
    return drawn
