"""Numbers as text, many at once."""

import math

from hypothesis import example, given
from hypothesis import strategies as st

from contracts.messages import MAX_INSTRUMENT_ID
from tests.trainer.reading.wired import spans_of
from trainer.reading.numerals import integers, numbers

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


@given(st.lists(IDS))
@example([0, 9, 10, 2**63 - 1, 2**53 + 1, 10**18])
def test_ids_are_read_to_the_last_digit(ids: list[int]) -> None:
    values, are_ids = integers(*spans_of([b"%d" % i for i in ids]))
    assert values.tolist() == ids
    assert are_ids.all()


@given(st.lists(st.one_of(IDS.map(str), st.sampled_from(NO_IDS), st.binary(), st.text())))
@example([text for no_id in NO_IDS for text in ("5", no_id)])
def test_an_id_is_what_python_would_write_as_one(texts: list[str | bytes]) -> None:
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    values, are_ids = integers(*spans_of(encoded))
    for text, value, is_id in zip(encoded, values.tolist(), are_ids.tolist(), strict=True):
        assert is_id == (b"%d" % value == text and value <= MAX_INSTRUMENT_ID)
        assert is_id or value == 0


@given(st.lists(COUNTS))
@example([5e-324, 1.7976931348623157e308, 0.1, 1e16, 123456789012345680.0, 1e-7, 1e22, 3e300])
def test_counts_are_the_floats_that_were_written(counts: list[float]) -> None:
    found = numbers(*spans_of([str(count).encode() for count in counts]))
    assert found.tolist() == [float(count) for count in counts]


@given(st.lists(st.one_of(COUNTS.map(str), st.sampled_from(NO_NUMBERS))))
def test_what_is_no_number_is_nan_and_its_neighbors_are_not(texts: list[str | bytes]) -> None:
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    found = numbers(*spans_of(encoded))
    for text, value in zip(texts, found.tolist(), strict=True):
        assert math.isnan(value) if isinstance(text, bytes) else value == float(text)
