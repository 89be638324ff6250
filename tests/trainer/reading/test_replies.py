"""Redis's replies, from bytes to where each field and value stands."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.trainer.reading.wired import as_buffer, as_dicts, hgetall, hscan
from trainer.reading import replies as module
from trainer.reading.replies import parse

WORKERS_TEXTS = st.from_regex(rb"\A[0-9a-z\[\]{},.:\"+-]{0,120}\Z")
WEIGHTED = (
    b'{"r":1.2345678901234567e-05,"t":1629061628123,"s":0.12345678901234568,"v":1234567.25,"n":17}'
)
ANY_TEXTS = st.one_of(
    WORKERS_TEXTS,
    st.binary(max_size=200),
    st.sampled_from([b"\r\n", b"1\r\n$1\r\n2", b"\n", b"%1\r\n$1\r\n1\r\n$1\r\n1\r\n", b"-ERR x"]),
)
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"


@given(st.lists(st.dictionaries(ANY_TEXTS, ANY_TEXTS, max_size=8)), st.sampled_from([2, 3]))
@example([{b"1": b"1\r\n$1\r\n2\r\n$1\r\n3"}], 3)
@example([{b"7": b"x" * 100, b"8": b"x" * 999, b"9": b"x"}], 2)
@example([{b"7": b"x" * 1_000}], 3)
@example([{b"7": b"x\r\n%2\r\n$1\r\n5\r\n$1"}, {b"7": b"1"}], 3)  # as many lines as two fields
def test_whatever_hashes_hold_comes_back(rows: list[dict[bytes, bytes]], protocol: int) -> None:
    buffer = as_buffer(hgetall(row, protocol) for row in rows)
    found = parse(buffer, range(10, 10 + len(rows)))
    assert as_dicts(found) == {10 + i: row for i, row in enumerate(rows) if row}
    assert not found.refused
    assert not found.cursors


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.dictionaries(ANY_TEXTS, ANY_TEXTS))))
def test_whatever_is_scanned_comes_back_with_where_to_go_on(
    parts: list[tuple[int, dict[bytes, bytes]]],
) -> None:
    buffer = as_buffer(hscan(cursor, fields) for cursor, fields in parts)
    found = parse(buffer, range(len(parts)), scanned=True)
    assert as_dicts(found) == {i: fields for i, (_, fields) in enumerate(parts) if fields}
    assert found.cursors == {i: cursor for i, (cursor, _) in enumerate(parts) if cursor}


@pytest.mark.parametrize("value", [b"1", b"a line's\r\nend"])
@pytest.mark.parametrize("scanned", [False, True])
def test_a_refusal_leaves_its_neighbors_alone(value: bytes, *, scanned: bool) -> None:
    row = {b"7": value, b"8": b"2"}
    reply = hscan(0, row) if scanned else hgetall(row)
    found = parse(as_buffer([reply, WRONG_TYPE, reply]), [4, 2, 9], scanned=scanned)
    assert as_dicts(found) == {4: row, 9: row}
    assert list(found.refused) == [2]
    assert found.refused[2].startswith("WRONGTYPE Operation")


@given(st.lists(st.dictionaries(WORKERS_TEXTS, WORKERS_TEXTS)))
@example([{b"7": WEIGHTED.ljust(length, b" ")} for length in (99, 100, 999)])
def test_what_workers_write_is_read_without_an_object_for_each_value(
    rows: list[dict[bytes, bytes]],
) -> None:
    buffer = as_buffer(map(hgetall, rows))
    found = module._plain(buffer, range(len(rows)), scanned=False)
    assert found.fields.buffer is buffer
    assert as_dicts(found) == as_dicts(module._any(buffer, range(len(rows)), scanned=False))


@pytest.mark.parametrize(
    "text", [b"", b"%1\r\n", b"%-1\r\n", b"*-2\r\n", b"+OK\r\n", b"$-1\r\n", b"%1\r\n$1\r\n1\r\n"]
)
def test_lines_that_do_not_add_up_are_not_guessed_at(text: bytes) -> None:
    with pytest.raises(module._NotPlainError):
        module._plain(as_buffer([text]), [0], scanned=False)
