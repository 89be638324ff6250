"""What the served generation says of itself may be damaged: it is then as if it were gone."""

import msgspec
import pytest

from contracts.decisions import Decision
from contracts.generations import DEFAULT_VARIANT, Current, Served
from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from trainer.generations.decisions import note, read_report
from trainer.generations.inputs import served_popularity, served_report
from trainer.generations.report import Data, Inputs, Lists, Report

DAMAGED = [b"{", b"\xff", b"null", b"[]", b'{"generation":1}', b"\x00"]
REPORT = Report("g1", 1, "", "", Inputs({}, {}), Data(1, 1, 1, 1, 1, 1), Lists(1, 1, 1, 1, 1), {})


@pytest.mark.parametrize("stored", DAMAGED)
def test_a_damaged_report_is_none(store: Store, keyspace: Keyspace, stored: bytes) -> None:
    current = Current(1, {DEFAULT_VARIANT: Served("g1", "cosine", "none")})
    store.set(keyspace.model_current(), msgspec.json.encode(current))
    store.set(keyspace.model_report("g1"), stored)
    assert read_report(store, keyspace, "g1") is None
    assert served_report(store, keyspace) is None


def test_a_decision_is_noted_though_the_report_is_damaged(store: Store, keyspace: Keyspace) -> None:
    store.set(keyspace.model_report("g1"), "{")
    note(store, keyspace, Decision("", "g1", DEFAULT_VARIANT, "promoted", "", "rules"))
    assert store.llen(keyspace.model_decisions()) == 1
    assert store.get(keyspace.model_report("g1")) == "{"


@pytest.mark.parametrize(
    "stored", [*DAMAGED, b'{"model":"popular","items":[{"item":"seven","score":1}]}']
)
def test_a_damaged_list_of_popular_items_is_none(
    store: Store, keyspace: Keyspace, stored: bytes
) -> None:
    store.set(keyspace.model_popular("g1"), stored)
    assert served_popularity(store, keyspace, REPORT) is None
