"""User events that stand in Kafka, to histories and to the counts of every pair, in Redis.

Hypothesis: folding a batch of events in memory and adding up what it changes, entry by entry of the
Gram matrix, is 20 times as fast as the same logic an event at a time, though the changes take a way
through Kafka in between, which is what makes them exact after a crash.

Work: users by a Zipf law of activity, instruments by one of popularity, a hundred events a user as
in MovieLens 100k (106), all in Kafka before a contender starts. An event of a user who has h other
items changes 2h + 1 counts. It ends when histories, counts and positions are in Redis. Afterwards
the counts are added up: they must come to the sum over users of h^2.

Baseline: `benchmarks.peers.plain_interactions`, one process as well, on all of the same events:
later ones cost more than the first, since histories grow.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.progress import PeerProgress, Positions, claimed_ms, folded_ms
from benchmarks.stage import ContenderError, Stage
from contracts.keyspace import NOT_ITEMS, Keyspace
from contracts.messages import Interaction
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES, Topic
from runtime.stores import Store
from runtime.topology import Topology

OURS: Final = "stream_processors"
PEER: Final = "benchmarks.peers.plain_interactions"
SETTINGS: Final = {"COUNTS_FLUSH_INTERVAL_S": "1"}
"""Ten times as often as by default, or a run would mostly wait for its last write."""
_ACTIVITY: Final = 0.4
_POPULARITY: Final = 0.8
_KEYS_A_READ: Final = 1_000


def make_events(
    n: int, users: int, instruments: int, start_ms: int, seed: int
) -> Iterator[Interaction]:
    """Return n events, a millisecond apart; users and instruments with the shares of Zipf laws."""
    rng = np.random.default_rng(seed)
    user = rng.choice(users, n, p=_zipf(users, _ACTIVITY)).tolist()
    instrument = rng.choice(instruments, n, p=_zipf(instruments, _POPULARITY)).tolist()
    for number in range(n):
        yield Interaction(
            user_id=f"user-{user[number]}",
            instrument_id=instrument[number],
            ts=start_ms + number,
        )


def sum_of_counts(events: Sequence[Interaction]) -> int:
    """Return what all entries of G add up to: each user's number of items, squared.

    No user may have more items than `HISTORY_CAP`.

    >>> events = [Interaction(user_id="a", instrument_id=i, ts=0) for i in (1, 2, 2)]
    >>> sum_of_counts(events)
    4
    """
    items: dict[str, set[int]] = {}
    for event in events:
        items.setdefault(event.user_id, set()).add(event.instrument_id)
    return sum(len(its) ** 2 for its in items.values())


class OurCounts:
    """How far our worker is with the events, and then with the changes that they made."""

    def __init__(
        self, stage: Stage, keyspace: Keyspace, topology: Topology, records: int, expected: int
    ) -> None:
        self.records = records
        self._expected = expected
        self._stage = stage
        self._keyspace = keyspace
        self._topology = topology
        self._positions = Positions(stage.client, keyspace, topology)
        self._messages: int | None = None
        """of changes, which are all there when all events are folded"""

    def started_ms(self) -> int | None:
        """Return when it had claimed its partitions."""
        return claimed_ms(self._positions.of(QUOTES))

    def finished_ms(self) -> int | None:
        """Return when the positions of both topics had reached the logs' ends."""
        events_ms = folded_ms(self._positions.of(INTERACTIONS), self.records)
        if events_ms is None:
            return None
        if self._messages is None:
            ends = log_ends(self._stage.broker.address, COOCCURRENCES, self._topology.cooccurrences)
            self._messages = sum(ends)
        changes_ms = folded_ms(self._positions.of(COOCCURRENCES), self._messages)
        return None if changes_ms is None else max(events_ms, changes_ms)

    def check(self) -> None:
        """Check that each pair was counted."""
        check_counts(self._stage.client, self._keyspace, self._expected)


class PlainCounts:
    """How far the peer is."""

    def __init__(self, stage: Stage, keyspace: Keyspace, records: int, expected: int) -> None:
        self.records = records
        self._expected = expected
        self._store = stage.client
        self._keyspace = keyspace
        self._said = PeerProgress(stage.client, keyspace)

    def started_ms(self) -> int | None:
        """Return when its first event came."""
        return self._said.started_ms()

    def finished_ms(self) -> int | None:
        """Return when it had written all."""
        said = self._said.written(self.records)
        return None if said is None else said.at_ms

    def check(self) -> None:
        """Check that each pair was counted."""
        check_counts(self._store, self._keyspace, self._expected)


def check_counts(store: Store, keyspace: Keyspace, expected: int) -> None:
    """Add up all counts.

    Raises:
        ContenderError: they come to another sum.
    """
    keys = list(store.scan_iter(match=f"{keyspace.namespace}:cooc:*", count=10_000))
    found = 0.0
    for at in range(0, len(keys), _KEYS_A_READ):
        with store.pipeline(transaction=False) as pipeline:
            for key in keys[at : at + _KEYS_A_READ]:
                pipeline.hgetall(key)
            for row in pipeline.execute():
                found += sum(float(count) for j, count in row.items() if j not in NOT_ITEMS)
    if found != expected:
        raise ContenderError(f"the counts in Redis add up to {found:g}, not to {expected}")


def log_ends(bootstrap_servers: str, topic: Topic, partitions: int) -> list[int]:
    """Return the end of each partition's log, as a fetch tells it, on Tansu as well."""

    async def ask() -> list[int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
        await consumer.start()
        try:
            tps = [TopicPartition(topic.name, partition) for partition in range(partitions)]
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            while any(consumer.highwater(tp) is None for tp in tps):
                await consumer.getmany(timeout_ms=50, max_records=1)
            return [consumer.highwater(tp) for tp in tps]
        finally:
            await consumer.stop()

    return asyncio.run(ask())


def _zipf(n: int, exponent: float) -> npt.NDArray[np.float64]:
    share = 1.0 / np.arange(1, n + 1) ** exponent
    normal: npt.NDArray[np.float64] = share / share.sum()
    return normal
