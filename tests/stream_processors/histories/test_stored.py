"""Histories are read back as they were written, and are readable to people."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.log_position import mark
from contracts.topics import INTERACTIONS
from stream_processors.histories.history import ENTRY, SCALED_ENTRY, History
from stream_processors.histories.stored import history_commands, history_of
from stream_processors.store.chunks import Group, command
from tests.stream_processors.in_memory import KEYSPACE, InMemoryClaim
from tests.stream_processors.simulated_store import Hashes

KEY = KEYSPACE.history(0, "A")
ids = st.integers(0, 2**63 - 1)
times = st.integers(0, 2**50)
floats = st.floats(1e-300, 1e300) | st.integers(1, 2**60).map(float)
plain_entries = st.tuples(ids, floats, times, times)
scaled_entries = st.tuples(ids, floats, times, times, floats, floats, st.integers(0, 9))


def history(entries: list[tuple[float, ...]], *, scaled: bool, at: int = 7) -> History:
    rows = np.array(entries, SCALED_ENTRY if scaled else ENTRY)
    its = History(rows, at)
    its.touched = {int(item) for item in rows["item"]}
    return its


def reread(data: Hashes, *, scaled: bool) -> History:
    claim = InMemoryClaim(data, INTERACTIONS)
    return history_of(claim.execute(Group(KEY, command("HGETALL", [])))[0], scaled=scaled)


def write(data: Hashes, its: History) -> None:
    InMemoryClaim(data, INTERACTIONS).execute(Group(KEY, history_commands("A", its)))


@given(
    entries=st.lists(plain_entries, unique_by=lambda entry: entry[0], max_size=6)
    | st.lists(scaled_entries, unique_by=lambda entry: entry[0], max_size=6)
)
def test_a_history_is_read_back_as_it_was_written(entries: list[tuple[float, ...]]) -> None:
    scaled = bool(entries) and len(entries[0]) > len(ENTRY)
    written = history(entries, scaled=scaled, at=mark(2, 9))
    stored: Hashes = {}
    write(stored, written)
    read = reread(stored, scaled=scaled)
    assert read.mark == mark(2, 9)
    # The values of an item without any are not written.
    expected = [e if len(e) == 4 or e[-1] else (*e[:-2], e[-2], 0) for e in entries]
    assert sorted(read.entries.tolist()) == sorted(expected)
    last = {"A": str(max(e[2] for e in entries))} if entries else {}
    assert stored.get(KEYSPACE.active(0), {}) == last


@pytest.mark.parametrize(
    ("affinity", "text"),
    [(1.0, "1"), (0.5, "0.5"), (2.0**53 - 1, "9007199254740991"), (2.0**53, "9007199254740992.0"),
     (2.0**70, "1.1805916207174113e21")],
)  # fmt: skip
def test_only_whole_numbers_below_2_to_the_53_are_written_as_ints(
    affinity: float, text: str
) -> None:
    data: Hashes = {}
    write(data, history([(4, affinity, 0, 0)], scaled=False))
    assert data[KEY]["4"] == f'{{"r":{text},"t":0}}'
    assert msgspec.json.decode(data[KEY]["4"])["r"] == affinity
