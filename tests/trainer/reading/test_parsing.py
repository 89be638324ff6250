"""Replies of Redis, numbers and entries of histories, from bytes to columns, many at once."""

import contextlib
import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.affinities import HistoryEntry
from contracts.messages import MAX_INSTRUMENT_ID
from tests.trainer.reading.wired import as_buffer, as_dicts, hgetall, spans_of
from trainer.reading import replies as module
from trainer.reading.history_hashes import entries_of
from trainer.reading.numerals import integers, numbers
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


@given(st.lists(st.dictionaries(WORKERS_TEXTS, WORKERS_TEXTS)))
@example([{b"7": WEIGHTED.ljust(length, b" ")} for length in (99, 100, 999)])
def test_what_workers_write_needs_no_object_for_each_value(rows: list[dict[bytes, bytes]]) -> None:
    buffer = as_buffer(map(hgetall, rows))
    found = module._plain(buffer, range(len(rows)), scanned=False)
    assert found.fields.buffer is buffer
    assert as_dicts(found) == as_dicts(module._any(buffer, range(len(rows)), scanned=False))


IDS = st.integers(0, MAX_INSTRUMENT_ID)
COUNTS = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e300, 1e300),
)
NO_IDS = [b"", b"-2", b"+2", b"07", b"00", b" 7", b"7 ", b"1_0", b"x", b"0x10", b"1.0", b"9" * 40,
          b"9223372036854775808", b"99999999999999999999", b"\xd9\xa3", b"\xff", b"/"]  # fmt: skip
NO_NUMBERS = [b"", b"x", b"many", b"nan", b"NaN", b"inf", b"-inf", b"1e999", b"1,5", b"1 2", b"--1",
              b"0x1p3", b"\xff", b"1\n", b"[0,1]", b"1_0", b"e5"]  # fmt: skip


@given(st.lists(st.one_of(IDS.map(str), st.sampled_from(NO_IDS), st.binary(), st.text())))
@example([text for no_id in NO_IDS for text in ("5", no_id)])
def test_an_id_is_what_python_would_write_as_one(texts: list[str | bytes]) -> None:
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    values, are_ids = integers(*spans_of(encoded))
    for text, value, is_id in zip(encoded, values.tolist(), are_ids.tolist(), strict=True):
        assert is_id == (b"%d" % value == text and value <= MAX_INSTRUMENT_ID)
        assert is_id or value == 0


@given(st.lists(st.one_of(COUNTS.map(str), st.sampled_from(NO_NUMBERS))))
def test_what_is_no_number_is_nan_and_its_neighbors_are_not(texts: list[str | bytes]) -> None:
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    found = numbers(*spans_of(encoded))
    for text, value in zip(texts, found.tolist(), strict=True):
        assert math.isnan(value) if isinstance(text, bytes) else value == float(text)


AFFINITIES = st.one_of(st.integers(0, 2**53), st.floats(-1e300, 1e300))
TIMES = st.integers(0, 253_402_300_799_999)
FIRST = st.none() | TIMES
ENTRIES = st.one_of(
    st.builds(HistoryEntry, AFFINITIES, TIMES, f=FIRST),
    st.builds(
        HistoryEntry,
        AFFINITIES,
        TIMES,
        st.floats(1e-300, 1e300),
        st.floats(0, 1e300),
        st.integers(0, 1000),
        FIRST,
    ),
)
NO_ENTRIES = [b"", b"{}", b"1", b"null", b'{"r":1}', b'{"r":1,"t":2', b'{"r":",","t":2}',
              b'{"r":1,"t":2.5}', b'{"r":nan,"t":2}', b'{"r":1e999,"t":2}', b'{"r":1,"t":2,"s":0}',
              b'{"r":1,"t":2,"s":-1}', b'{"r":1,"t":2,"s":"x"}', b'{"r":1,"t":9223372036854775808}',
              b'{"r":1,"t":2}{"r":1,"t":2}', b'{"r":1},"t":2}', b"[0,1]", b"\xff", b",", b",,,,",
              b'{"r":,"t":2}', b'{"r":1,"t":}', b'{"r":1,"t":2,"s":}', b'{"r":1,"t":2,"f":}',
              b'{"r":1,"f":2}', b'{"r":1,"t":2,"f":9223372036854775808}',
              b'{"r":1,"t":2,"f":1.5}']  # fmt: skip
_decode = msgspec.json.Decoder(HistoryEntry).decode
_encode = msgspec.json.Encoder().encode


@given(st.lists(ENTRIES))
def test_entries_come_back_as_workers_wrote_them(entries: list[HistoryEntry]) -> None:
    buffer, spans = spans_of([_encode(entry) for entry in entries])
    found = entries_of(buffer, spans)
    assert found.affinities.tolist() == [entry.r for entry in entries]
    assert found.ts_ms.tolist() == [entry.t for entry in entries]
    assert found.scales.tolist() == [entry.s for entry in entries]
    assert found.first_ms.tolist() == [entry.first_ms for entry in entries]
    assert not found.problems


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"r": 1.5, "t": 2, "s": 4}),
        '{"t":2,"r":1.5,"s":4}',
        '{"r":1.5,"t":2,"n":3,"s":4}',
        '{"r":9,"t":2,"s":4,"r":1.5}',
        '{"r":1.5,"t":2,"note":"a, b","s":4}',
        '{"f":2,"r":1.5,"t":2,"s":4}',
    ],
)
def test_other_json_that_says_the_same_is_an_entry_too(text: str) -> None:
    plain = b'{"r":3,"t":4}'
    found = entries_of(*spans_of([plain, text.encode(), plain]))
    assert found.affinities.tolist() == [3, 1.5, 3]
    assert found.ts_ms.tolist() == [4, 2, 4]
    assert found.scales.tolist() == [1, 4, 1]


@pytest.mark.parametrize("text", NO_ENTRIES)
def test_an_invalid_entry_is_named_and_its_neighbors_are_read(text: bytes) -> None:
    plain = b'{"r":3,"t":4,"s":2}'
    found = entries_of(*spans_of([plain, text, plain]))
    assert list(found.problems) == [1]
    assert np.isnan(found.affinities).tolist() == [False, True, False]
    assert found.affinities[[0, 2]].tolist() == [3, 3]


@given(st.lists(st.text(alphabet='{}":,rtsvn10.-e', max_size=30)))
def test_any_json_that_the_contract_allows_is_an_entry(texts: list[str]) -> None:
    texts = [*texts, *(f'{{"r":1,"t":1,{text}}}' for text in texts)]
    found = entries_of(*spans_of([text.encode() for text in texts]))
    for place, text in enumerate(texts):
        with contextlib.suppress(msgspec.MsgspecError):
            entry = _decode(text)
            assert (place in found.problems) == (entry.s <= 0)
            assert entry.s <= 0 or found.affinities[place] == entry.r
