"""A record without a value names the user to remove, or is rejected with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.times import MAX_TS_MS
from contracts.tombstones import Tombstone, decode_tombstone, encode_tombstone

tombstones = st.builds(
    Tombstone,
    st.text(st.characters(codec="utf-8", exclude_characters=".\0\ufffd"), min_size=1, max_size=30),
    *(st.none() | st.integers(0, MAX_TS_MS) for _ in range(2)),
)


@given(tombstones)
def test_a_tombstone_is_read_back_as_it_was_written(tombstone: Tombstone) -> None:
    key, headers = encode_tombstone(tombstone)
    assert decode_tombstone(key, tuple(headers)) == tombstone


@pytest.mark.parametrize(
    ("key", "headers", "reason"),
    [
        (None, (), "no value, and no key"),
        (b"", (), "no value, and no key"),
        (b"\xff", (), "its key is not UTF-8"),
        (b"x" * 129, (), "user_id has 129 bytes"),
        (b"a\0b", (), "user_id contains U\\+0000"),
        (b"../x", (), "user_id contains `.` or `..` as a path segment"),
        (b"A", (("last_event_before", b"yesterday"),), "not epoch ms in ASCII"),
        (b"A", (("last_event_before", b"-1"),), "not epoch ms in ASCII"),
        (b"A", (("last_event_before", b""),), "not epoch ms in ASCII"),
        (b"A", (("last_event_before", None),), "not epoch ms in ASCII"),
        (b"A", (("last_event_before", b"1" * 16),), "not epoch ms in ASCII"),
        (b"A", (("erased_at", b"now"),), "header erased_at is b'now', not epoch ms in ASCII"),
    ],
)
def test_what_names_no_user_is_an_error(
    key: bytes | None, headers: tuple[tuple[str, bytes | None], ...], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_tombstone(key, headers)


@pytest.mark.parametrize(
    ("before_ms", "last_event_ms", "applies"),
    [(None, 10, True), (10, 9, True), (10, 10, False), (10, -1, True)],
)
def test_a_user_who_came_back_stays(
    before_ms: int | None, last_event_ms: int, *, applies: bool
) -> None:
    assert Tombstone("A", before_ms).applies_to(last_event_ms) == applies


@pytest.mark.parametrize(
    ("tombstone", "last_event_ms", "before_ms"),
    [
        (Tombstone("A"), -1, 0),
        (Tombstone("A"), 10, 11),
        (Tombstone("A", erased_at_ms=20), -1, 20),
        (Tombstone("A", erased_at_ms=20), 10, 20),
        (Tombstone("A", erased_at_ms=20), 30, 31),  # of a clock that runs ahead
        (Tombstone("A", last_event_before_ms=20), 10, 0),
    ],
)
def test_events_of_before_an_erasure_are_left_out(
    tombstone: Tombstone, last_event_ms: int, before_ms: int
) -> None:
    assert tombstone.leaves_out_before_ms(last_event_ms) == before_ms
