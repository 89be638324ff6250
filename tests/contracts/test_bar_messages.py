"""Round trips of the messages about bars."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.archive import BARS_TABLE, PLACE
from contracts.bar_messages import (
    ChangedBar,
    ClosedBar,
    decode_changed_bars,
    decode_closed_bars,
    encode_changed_bars,
    encode_closed_bars,
)
from contracts.times import MAX_TS_MS, MINUTE_MS

prices = st.floats(0, exclude_min=True, allow_nan=False, allow_infinity=False)
sums = st.floats(0, allow_nan=False, allow_infinity=False)
times = st.integers(0, MAX_TS_MS)
bars = st.builds(
    ClosedBar,
    instrument_id=st.integers(0, 2**63 - 1),
    t=st.integers(0, MAX_TS_MS // MINUTE_MS).map(lambda minute: minute * MINUTE_MS),
    o=prices, h=prices, l=prices, c=prices, v=sums,
    n=st.integers(1, 2**63 - 1),
    pv=sums, ot=times, ct=times,
    revision=st.integers(0, 2**63 - 1),
)  # fmt: skip
BAR = ClosedBar(4, 1_629_061_620_000, 2.5, 3.0, 2.5, 3.0, 7.0, 2, 19.0, 1, 2, 17_834)


@given(st.lists(bars, max_size=5))
def test_bars_come_back_to_the_last_digit(some: list[ClosedBar]) -> None:
    values = list(map(msgspec.json.encode, some))
    decoded, rejections = decode_closed_bars(values)
    assert rejections == []
    assert decoded.index.tolist() == list(range(len(some)))
    columns = dict(zip(ClosedBar.__struct_fields__, decoded.columns.values(), strict=True))
    assert encode_closed_bars(columns) == values


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("t", BAR.t + 1, "t: must be a whole number that's a multiple of 60000"),
        ("o", 0, "o: must be a number above 0.0, got 0"),
        ("v", -1, "v: must be a number of at least 0.0, got -1"),
        ("n", 0, "n: must be a whole number of at least 1, got 0"),
        ("revision", -1, "revision: must be a whole number of at least 0, got -1"),
        ("instrument_id", "4", 'instrument_id: must be a whole number, got "4"'),
    ],
)
def test_a_bar_that_breaks_a_rule_is_rejected_alone_and_the_reason_names_the_field(
    field: str, value: object, reason: str
) -> None:
    good = msgspec.json.encode(BAR)
    bad = msgspec.json.encode(msgspec.structs.asdict(BAR) | {field: value})
    decoded, (rejection,) = decode_closed_bars([good, bad, good])
    assert decoded.index.tolist() == [0, 2]
    assert rejection.index == 1
    assert reason in rejection.reason


def test_columns_have_the_names_and_types_of_the_archive_whatever_came() -> None:
    doubles = {column.name for column in BARS_TABLE.columns if column.type == "double"}
    names = [column.name for column in BARS_TABLE.columns if column.name not in PLACE]
    for values in ([], [msgspec.json.encode(BAR)]):
        columns = decode_closed_bars(values)[0].columns
        assert list(columns) == names
        assert {name for name, column in columns.items() if column.dtype == np.float64} == doubles
        others = {column.dtype for name, column in columns.items() if name not in doubles}
        assert others == {np.dtype(np.int64)}


bars = st.builds(
    ChangedBar,
    instrument_id=st.integers(0, 2**63 - 1),
    minute_s=st.integers(0, 4_000_000_000).map(lambda minute: minute * 60),
    value=st.text(st.characters(codec="utf-8"), max_size=200),
)


@given(st.lists(bars, max_size=20))
def test_a_reader_gets_the_bars_that_were_written_in_their_order(written: list[ChangedBar]) -> None:
    assert decode_changed_bars(encode_changed_bars(written)) == written


@pytest.mark.parametrize("message", [b"", b"\x00", b"\x91\x01", b"end"])
def test_what_is_no_such_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_changed_bars(message)
