"""Entries of histories, from JSON to columns."""

import contextlib
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import HistoryEntry
from tests.trainer.reading.wired import spans_of
from trainer.reading.history_hashes import entries_of

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
