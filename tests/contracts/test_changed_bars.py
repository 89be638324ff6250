"""The message that notifies readers of written bars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.changed_bars import ChangedBar, decode_changed_bars, encode_changed_bars

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
