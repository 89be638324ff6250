"""Records of a key that belongs elsewhere are rejected; unknown fields are counted and logged."""

from collections.abc import Callable
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from contracts.instruments import Instrument, encode_instrument
from contracts.messages import Interaction, Quote, encode
from contracts.partitioning import partition_of
from stream_processors.decoding import instruments, interactions, placement, quotes
from stream_processors.decoding.intake import NAMES_MOST, Intake
from tests.examples import examples
from tests.stream_processors.folding import batch_of, decoding

PARTITION, PARTITIONS = 1, 3
"""The records of all tests are in one partition."""
batches_of_ids = st.lists(
    st.lists(st.integers(0, 30) | st.integers(2**62, 2**62 + 9), max_size=20), max_size=4
)


@pytest.fixture(autouse=True)
def small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_ITEMS_AT_MOST", 5)
    monkeypatch.setattr(placement, "_USERS_KEPT", 5)


def quote(i: int) -> bytes:
    return encode(Quote(instrument_id=i, price=1.0, size=1.0, ts=9))


def instrument(i: int) -> bytes:
    return encode_instrument(Instrument(instrument_id=i, symbol="A", name="A"))


def event(i: int) -> bytes | None:
    """A tombstone if the id is even."""
    return encode(Interaction(user_id=str(i), instrument_id=4, ts=9)) if i % 2 else None


@pytest.mark.parametrize(
    ("decode", "value", "offsets"),
    [
        (quotes.decode, quote, lambda its: its.offsets.tolist()),
        (instruments.decode, instrument, lambda its: [record.offset for record in its]),
        (interactions.decode, event, lambda its: [10 + place for place, *_ in its.events]),
    ],
    ids=["quotes", "instruments", "interactions"],
)
@examples(100)
@given(batches=batches_of_ids)
def test_records_of_another_partition_are_rejected(
    decode: Callable[..., Any],
    value: Callable[[int], bytes | None],
    offsets: Callable[[Any], list[int]],
    batches: list[list[int]],
) -> None:
    decoded = decoding(decode, PARTITIONS)
    for ids in batches:
        records = [(at, value(i), b"%d" % i) for at, i in enumerate(ids, 10)]
        found, rejections = decoded(batch_of("any", PARTITION, records, start=10))
        here = [at for at, _, key in records if partition_of(key, PARTITIONS) == PARTITION]
        assert offsets(found) == here
        assert sorted(here + [10 + place for place, _ in rejections]) == [at for at, *_ in records]
        if decode is quotes.decode:
            assert found.columns.instrument_id.tolist() == [ids[at - 10] for at in here]
        if decode is interactions.decode:
            assert found.columns.index.tolist() == [at - 10 for at in here if ids[at - 10] % 2]


def test_the_rejection_names_the_partitioner() -> None:
    value = encode(Interaction(user_id="A", instrument_id=4, event="view", ts=9))
    partition = 1 - partition_of(b"A", 2)
    _, ((place, reason),) = decoding(interactions.decode, 2)(
        batch_of("interactions", partition, [(7, value)])
    )
    assert place == 0
    assert reason.startswith(f"user_id 'A' does not belong to partition {partition}: produce")
    assert "partitioner=murmur2" in reason


def test_unknown_fields_are_counted_and_logged_once_each_up_to_a_bound() -> None:
    def counted() -> float:
        name = "records_with_unknown_fields_total"
        return REGISTRY.get_sample_value(name, {"topic": "quotes"}) or 0

    intake, before = Intake(), counted()
    with structlog.testing.capture_logs() as logs:
        for fields in ({}, {"qty": 5}, {"qty": 5}, {"qty": 1, "type": 2}):
            intake.note("quotes", fields)
        intake.note("interactions", {"qty": 1})
    assert counted() == before + 13
    named = [(entry["topic"], entry["fields"]) for entry in logs]
    assert named == [("quotes", ["qty"]), ("quotes", ["type"]), ("interactions", ["qty"])]
    assert all("UNKNOWN_FIELDS=refuse" in entry["event"] for entry in logs)
    with structlog.testing.capture_logs() as logs:  # of a feed with generated names
        for n in range(1_000):
            intake.note("quotes", {f"field {n}": 1})
    assert len(logs) == NAMES_MOST - 2
