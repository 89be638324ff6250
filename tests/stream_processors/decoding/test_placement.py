import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.messages import Interaction, Quote, encode
from contracts.partitioning import partition_of
from contracts.tombstones import Tombstone, encode_tombstone
from stream_processors.decoding import instruments, interactions, placement, quotes
from tests.examples import examples
from tests.stream_processors.folding import decoding
from tests.stream_processors.records import batch_of

PARTITION, PARTITIONS = 1, 3
"""The records of all tests are in one partition."""
ids = st.lists(st.integers(0, 30) | st.integers(2**62, 2**62 + 9), max_size=20)
sizes = st.lists(ids, max_size=4)


def here(keys: list[bytes]) -> list[int]:
    return [n for n, key in enumerate(keys) if partition_of(key, PARTITIONS) == PARTITION]


@pytest.fixture(autouse=True)
def small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_ITEMS_AT_MOST", 5)
    monkeypatch.setattr(placement, "_USERS_KEPT", 5)


@examples(100)
@given(batches=sizes)
def test_quotes_of_an_instrument_elsewhere_are_rejected(batches: list[list[int]]) -> None:
    decode = decoding(quotes.decode, PARTITIONS)
    for its in batches:
        values = [encode(Quote(instrument_id=i, price=1.0, size=1.0, ts=9)) for i in its]
        found, rejections = decode(
            batch_of("quotes", PARTITION, list(enumerate(values, 10)), start=10)
        )
        expected = here([b"%d" % i for i in its])
        assert found.offsets.tolist() == [10 + place for place in expected]
        assert found.columns.instrument_id.tolist() == [its[place] for place in expected]
        assert sorted(expected + [place for place, _ in rejections]) == list(range(len(its)))


@examples(100)
@given(batches=sizes)
def test_instruments_elsewhere_are_rejected(batches: list[list[int]]) -> None:
    decode = decoding(instruments.decode, PARTITIONS)
    for its in batches:
        keys = {at: instrument_key(i) for at, i in enumerate(its, 10)}
        values = [encode_instrument(Instrument(instrument_id=i, symbol="A", name="A")) for i in its]
        batch = batch_of("instruments", PARTITION, list(enumerate(values, 10)), start=10, keys=keys)
        found, rejections = decode(batch)
        expected = here([b"%d" % i for i in its])
        assert [record.offset for record in found] == [10 + place for place in expected]
        assert sorted(expected + [place for place, _ in rejections]) == list(range(len(its)))


@examples(100)
@given(batches=st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans())), max_size=4))
def test_events_and_tombstones_of_a_user_elsewhere_are_rejected(
    batches: list[list[tuple[int, bool]]],
) -> None:
    decode = decoding(interactions.decode, PARTITIONS)
    for its in batches:
        users = [f"u{n}" for n, _ in its]
        events = [Interaction(user_id=u, instrument_id=4, event="view", ts=9) for u in users]
        values = [
            (at, None if leaves else encode(event))
            for at, (event, (_, leaves)) in enumerate(zip(events, its, strict=True), 10)
        ]
        keys = {at: encode_tombstone(Tombstone(user))[0] for at, user in enumerate(users, 10)}
        found, rejections = decode(batch_of("interactions", PARTITION, values, start=10, keys=keys))
        expected = here([user.encode() for user in users])
        assert [place for place, *_ in found.events] == expected
        assert found.columns.index.tolist() == [place for place in expected if not its[place][1]]
        assert sorted(expected + [place for place, _ in rejections]) == list(range(len(its)))


def test_the_rejection_names_the_partitioner() -> None:
    value = encode(Interaction(user_id="A", instrument_id=4, event="view", ts=9))
    partition = 1 - partition_of(b"A", 2)
    _, ((place, reason),) = decoding(interactions.decode, 2)(
        batch_of("interactions", partition, [(7, value)])
    )
    assert place == 0
    assert reason.startswith(f"user_id 'A' does not belong to partition {partition}: produce")
    assert "partitioner=murmur2" in reason
