"""Chunks of commands: what a reader makes of one that a worker packed."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import ChangedBar, changed_bars, command, pack
from contracts.keyspace import NEWEST_FIELD, Keyspace

KEYS = Keyspace("live")
PREFIX = KEYS.bars_prefix(3)

ids = st.integers(0, 2**63 - 1)
minutes_s = st.integers(0, 4_000_000_000).map(lambda minute: minute * 60)
values = st.text(st.characters(codec="utf-8"), max_size=200)


@given(st.lists(st.tuples(ids, st.dictionaries(minutes_s, values, max_size=5)), max_size=5))
def test_each_bar_that_is_written_is_read_from_the_chunk_and_nothing_else(
    written: list[tuple[int, dict[int, str]]],
) -> None:
    chunk = []
    for instrument, bars in written:
        key = KEYS.bars(3, instrument)
        chunk += command("HDEL", key, ["60", "120"])
        chunk += command("HSET", key, [NEWEST_FIELD, "180"])
        chunk += command("HSET", key, list(chain(*((str(m), v) for m, v in bars.items()))))
    assert list(changed_bars(pack(chunk), PREFIX)) == [
        ChangedBar(instrument, minute, value)
        for instrument, bars in written
        for minute, value in bars.items()
    ]
