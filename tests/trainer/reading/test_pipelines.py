"""Many commands to Redis at once."""

import pytest
import redis

from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from trainer.reading.pipelines import COMMANDS_PER_PIPELINE, CorruptValueError, ask_each


@pytest.fixture
def keys(store: Store, keyspace: Keyspace) -> list[str]:
    """Of counters 0, 1, ..., but the third is a list."""
    keys = [f"{keyspace.namespace}:{n}" for n in range(COMMANDS_PER_PIPELINE + 5)]
    for n, key in enumerate(keys):
        store.set(key, n)
    store.delete(keys[2])
    store.rpush(keys[2], "x")
    return keys


def test_answers_come_in_order_with_something_in_the_place_of_wrong_types(
    store: Store, keys: list[str]
) -> None:
    answers = ask_each(store, keys, lambda pipeline, key: pipeline.get(key), if_wrong_type=None)
    assert answers == [None if n == 2 else str(n) for n in range(len(keys))]


def test_a_key_of_a_wrong_type_is_named_if_nothing_stands_for_it(
    store: Store, keys: list[str]
) -> None:
    with pytest.raises(CorruptValueError, match=rf"{keys[2]} .*WRONGTYPE.* Repair or delete"):
        ask_each(store, keys, lambda pipeline, key: pipeline.get(key))


def test_any_other_refusal_is_raised_as_it_is(store: Store, keys: list[str]) -> None:
    with pytest.raises(redis.ResponseError, match="not an integer"):
        ask_each(store, keys, lambda pipe, key: pipe.incrby(key, "x"), if_wrong_type=None)
