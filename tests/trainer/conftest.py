"""A store with counts and histories as the workers write them, and the events of a small shop."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS, STREAMED
from runtime.redis.stores import Store, connect
from tests.oracles.gram import gram_matrix
from tests.patience import PATIENCE_S
from trainer.settings import TrainerSettings

PARTITIONS = 3

Affinities = npt.NDArray[np.float64]
Fill = Callable[..., Affinities]


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with connect(store_url, "tests") as client:
        yield client


@pytest.fixture
def keyspace(namespace: str) -> Keyspace:
    return Keyspace(namespace)


@pytest.fixture
def settings(store_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> TrainerSettings:
    monkeypatch.setattr("trainer.run.runs.LEASE_S", PATIENCE_S)
    return TrainerSettings(
        redis_url=store_url,
        namespace=namespace,
        metrics_port=0,
        item_model="cosine",
        user_model="user-knn",
    )


@pytest.fixture
def environment(store_url: str, namespace: str) -> dict[str, str]:
    """Of a child process."""
    return {
        "REDIS_URL": store_url,
        "NAMESPACE": namespace,
        "ITEM_MODEL": "cosine",
        "USER_MODEL": "user-knn",
    }


@pytest.fixture
def fill(store: Store, keyspace: Keyspace) -> Fill:
    """Put affinities (n_users, n_items) into the store as if workers had folded them.

    Item ids are 100, 101, ...; user ids "u0", "u1", ..., the last of them active last.
    """

    def put(affinities: Affinities, offset: int = 9) -> Affinities:
        _note_topics(store, keyspace, offset)
        _put_counts(store, keyspace, gram_matrix(affinities), offset)
        _put_histories(store, keyspace, affinities, offset)
        return affinities

    return put


def _note_topics(store: Store, keyspace: Keyspace, offset: int) -> None:
    store.hset(keyspace.topics(), mapping={topic.name: PARTITIONS for topic in STREAMED})
    for topic in (INTERACTIONS, COOCCURRENCES):
        for partition in range(PARTITIONS):
            position = {"next": offset + 1, "epoch": 1, "incarnation": 0, "updated_at_ms": 0}
            store.hset(keyspace.position(topic, partition), mapping=position)


def _put_counts(store: Store, keyspace: Keyspace, gram: Affinities, offset: int) -> None:
    pipeline = store.pipeline(transaction=False)
    for i in np.flatnonzero(gram.diagonal()):
        item = 100 + int(i)
        partition = instrument_partition(item, PARTITIONS)
        row = {str(100 + int(j)): repr(float(gram[i, j])) for j in np.flatnonzero(gram[i])}
        pipeline.hset(keyspace.cooc(partition, item), mapping=row | {"off": f"[0,{offset}]"})
        pipeline.sadd(keyspace.items(partition), item)
    pipeline.execute()


def _put_histories(store: Store, keyspace: Keyspace, affinities: Affinities, offset: int) -> None:
    pipeline = store.pipeline(transaction=False)
    for u, row in enumerate(affinities):
        if row.any():
            user, partition = f"u{u}", user_partition(f"u{u}", PARTITIONS)
            history = {
                str(100 + int(i)): json.dumps({"r": row[i], "t": 1000 + u})
                for i in np.flatnonzero(row)
            }
            history["off"] = f"[0,{offset}]"
            pipeline.hset(keyspace.history(partition, user), mapping=history)
            pipeline.zadd(keyspace.active(partition), {user: 1000 + u})
    pipeline.execute()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A file of 60 users who buy among 20 items: even ones or odd ones, seldom the others."""
    random = np.random.default_rng(7)
    rows = ["ts_ms,user_id,instrument_id,price,quantity"]
    for ts in range(1_500):
        user = int(random.integers(60))
        kind = user % 2 if random.random() < 0.9 else 1 - user % 2
        item = 2 * int(random.integers(10)) + kind
        rows.append(f"{ts},u{user:02d},{100 + item},1.5,2")
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(rows) + "\n")
    return path
