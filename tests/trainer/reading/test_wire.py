"""The connections that counts and histories come by."""

import threading

import numpy as np
import pytest
import redis
from redis.connection import AbstractConnection

from runtime.redis.stores import Store
from tests.oracles.gram import gram_matrix
from tests.trainer.setup import PARTITIONS, Setup
from trainer.reading import hashes as module
from trainer.reading.gram import read_gram
from trainer.reading.pipelines import ask_each
from trainer.stages import Stages


def test_half_an_answer_is_forgotten_when_the_connection_breaks(
    setup: Setup, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    affinities, in_bytes, breaks = setup.fill(np.ones((9, 30))), module._in_bytes, [5_000, 100, 1]

    def breaking(connection: type[AbstractConnection]) -> type[AbstractConnection]:
        class Breaking(in_bytes(connection)):  # type: ignore[misc]
            def receive(self, room: memoryview) -> int:
                is_broken = self._sock.fileno() < 0
                if is_broken or not breaks:
                    return int(super().receive(room))
                received = int(super().receive(room[: breaks.pop()]))
                self._sock.close()
                return received

        return Breaking

    monkeypatch.setattr(module, "_in_bytes", breaking)
    counts = read_gram(setup.store, setup.keys, PARTITIONS, stages).counts
    assert (counts.toarray() == gram_matrix(affinities)).all()
    assert not breaks


def test_rows_that_change_meanwhile_are_read_as_they_were_at_some_time(
    setup: Setup, store_url: str, stages: Stages, long_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIELDS_PER_SCAN", 10)
    n, wrote, stop = 700, 0, threading.Event()
    items = [*range(0, 2 * n, 2)]  # all even: a row has the pairs with greater ones
    setup.store.sadd(setup.keys.items(0), *items)

    def write() -> None:
        nonlocal wrote
        with redis.Redis.from_url(store_url) as other:
            while not stop.is_set() or not wrote:
                pipeline = other.pipeline(transaction=True)
                # The fields from the 600th on come and go.
                end = 600 + wrote % 100
                for first, key in enumerate(setup.keys.cooc(0, item) for item in items[:2]):
                    row = dict.fromkeys(map(str, items[first:end]), str(wrote + 1))
                    pipeline.hset(key, mapping=row)
                    pipeline.hdel(key, *items[end:])
                pipeline.execute()
                wrote += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while wrote <= 20:
            least = wrote
            counts = read_gram(setup.store, setup.keys, 1, stages).counts
            assert counts.has_canonical_format
            for i in (0, 1):
                # The second one's pair with the first is in that one's row.
                row = counts.data[counts.indptr[i] + i : counts.indptr[i + 1]]
                assert 600 - i <= len(row) <= n - i or not least
                assert (row[: 600 - i] >= least).all()
                assert (row <= wrote + 1).all()
                assert long_row == 2 or len(set(row)) <= 1
    finally:
        stop.set()
        writer.join()


def test_answers_come_in_order_and_a_refusal_but_for_a_wrong_type_is_raised(
    store: Store, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.reading.pipelines.COMMANDS_PER_PIPELINE", 2)
    keys = [f"{namespace}:{n}" for n in range(5)]
    for n, key in enumerate(keys):
        store.set(key, n)
    store.delete(keys[2])
    store.rpush(keys[2], "x")
    answers = ask_each(store, keys, lambda pipe, key: pipe.get(key), if_wrong_type=None)
    assert answers == ["0", "1", None, "3", "4"]
    with pytest.raises(redis.ResponseError, match="not an integer"):
        ask_each(store, keys, lambda pipe, key: pipe.incrby(key, "x"), if_wrong_type=None)
