"""The hold-out: what the stream folds, read to the last digit, and split cleanly."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from contracts.event_types import BUILT_IN
from tests.examples import examples
from tests.oracles.gram import gram_matrix
from tests.trainer.evaluation.made import TRADE, Event, events_in_time_order, interactions
from trainer.evaluation.files import FileError, read_interactions
from trainer.evaluation.interactions import Split, WorkerRules
from trainer.evaluation.preparing import prepare
from trainer.evaluation.splits import SplitError, last, per_user, temporal

DEFAULT = WorkerRules()

in_time_order = events_in_time_order()
without_rejections = in_time_order.map(
    lambda events: [event for event in events if BUILT_IN[event[3]] > 0]
).filter(bool)


@examples(40)  # pandas takes some milliseconds each
@given(events=without_rejections)
def test_histories_are_those_of_events_and_counts_in_their_users_scale(events: list[Event]) -> None:
    rules = WorkerRules(user_weight="inverse-degree", user_weight_exponent=0.75)
    times: dict[str, dict[int, list[int]]] = {}
    for user, item, ts_ms, *_ in events:
        times.setdefault(user, {}).setdefault(item, []).append(ts_ms)
    made = prepare(Split(interactions(events), interactions(events)), rules)
    had, entries = made.holdout.histories, made.holdout.histories.affinities.tocoo()
    assert made.users.tolist() == sorted(times)
    where = zip(made.users[entries.row], made.items[entries.col].tolist(), strict=True)
    assert list(where) == [(user, item) for user in sorted(times) for item in sorted(times[user])]
    of_each = [times[user][item] for user in sorted(times) for item in sorted(times[user])]
    assert had.ts_ms.tolist() == list(map(max, of_each))
    assert had.since_ms.tolist() == list(map(min, of_each))
    assert (entries.data == 1).all()
    scaled = np.array([len(times[user]) ** -0.75 for user in made.users[entries.row]])
    assert made.holdout.stored == pytest.approx(scaled, rel=1e-12)
    whole = csr_array((scaled, (entries.row, entries.col)), entries.shape).toarray()
    assert made.holdout.streamed.toarray() == pytest.approx(gram_matrix(whole), rel=1e-12)


def test_a_rejected_item_is_neither_learned_from_nor_to_be_found() -> None:
    nan = np.nan
    had = [("a", 1, 0, TRADE, nan), ("a", 2, 1, TRADE, nan), ("b", 1, 1, TRADE, nan)]
    rejected = [("b", 3, 0, TRADE, nan), ("a", 4, 2, TRADE, nan), ("a", 4, 3, "hide", nan)]
    later = [("a", 3, 5, TRADE, nan), ("a", 3, 6, "hide", nan), ("b", 2, 5, TRADE, nan)]
    made = prepare(Split(interactions([*had, *rejected]), interactions(later)), DEFAULT)
    assert made.items.tolist() == [1, 2, 3]
    assert made.holdout.train.toarray().tolist() == [[1, 1, 0], [1, 0, 1]]
    assert made.holdout.test.toarray().tolist() == [[0, 0, 0], [0, 1, 0]]


def test_what_cannot_be_found_is_counted_and_not_asked_for() -> None:
    train = interactions([("a", 1, 0), ("a", 2, 1), ("b", 3, 2)])
    test = interactions(
        [("a", 1, 5), ("a", 3, 5), ("a", 3, 6), ("a", 99, 5), ("new", 1, 5), ("new", 2, 5)]
    )
    made = prepare(Split(train, test), DEFAULT)
    assert made.items.tolist() == [1, 2, 3]
    assert made.holdout.test.toarray().tolist() == [[0, 0, 1], [0, 0, 0]]
    assert made.holdout.judged.tolist() == [0]
    left_out = made.left_out
    assert left_out.pairs_seen_before == 1
    assert left_out.pairs_of_unknown_items == 1
    assert (left_out.unknown_users, left_out.pairs_of_unknown_users) == (1, 2)


@given(events=in_time_order, share=st.floats(0.1, 0.9))
def test_a_temporal_split_learns_from_nothing_later(events: list[Event], share: float) -> None:
    everything = interactions(events)
    if len(set(everything.ts_ms.tolist())) == 1:
        with pytest.raises(SplitError, match="no event is earlier"):
            temporal(everything, share)
        return
    try:
        parts = temporal(everything, share)
    except SplitError:
        return
    assert parts.train.ts_ms.max() < parts.test.ts_ms.min()
    assert len(parts.train) + len(parts.test) == len(events)


@given(events=without_rejections, seed=st.integers(0, 9))
def test_a_per_user_split_hides_whole_items_but_not_all(events: list[Event], seed: int) -> None:
    try:
        parts = per_user(interactions(events), 0.5, seed)
    except SplitError:
        return
    train = set(zip(parts.train.users, parts.train.items.tolist(), strict=True))
    test = set(zip(parts.test.users, parts.test.items.tolist(), strict=True))
    assert not train & test
    for user in {user for user, _ in test}:
        kept, hidden = ({i for u, i in side if u == user} for side in (train, test))
        assert len(hidden) == round((len(kept) + len(hidden)) / 2)
        assert kept
    assert len(parts.train) + len(parts.test) == len(events)


@given(events=without_rejections)
def test_the_last_split_hides_the_latest_item_if_another_is_left(events: list[Event]) -> None:
    of_users: dict[str, dict[int, int]] = {}
    for user, item, ts_ms, *_ in events:
        times = of_users.setdefault(user, {})
        times[item] = max(times.get(item, 0), ts_ms)
    latest = {
        (user, max(times, key=lambda item: (times[item], -item)))
        for user, times in of_users.items()
        if len(times) > 1
    }
    if not latest:
        with pytest.raises(SplitError, match="nobody has two items"):
            last(interactions(events))
        return
    parts = last(interactions(events))
    train, test = (
        list(zip(side.users, side.items.tolist(), strict=True))
        for side in (parts.train, parts.test)
    )
    assert set(test) == latest
    assert not latest & set(train)
    assert len(train) + len(test) == len(events)


HEADER = "ts_ms,user_id,instrument_id,price,quantity\n"
ROW = "1291191960000,017850,9223372036854775807,2.55,6\n"
GZIP = gzip.compress((HEADER + ROW * 2000).encode(), mtime=0)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str | bytes, name: str = "events.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_no_digit_is_lost_and_optional_columns_may_be_missing(written: Callable[..., Path]) -> None:
    found = read_interactions(written(HEADER + ROW + "0,NA,0,,\n"))
    assert found.ts_ms.tolist() == [1291191960000, 0]
    assert found.users.tolist() == ["017850", "NA"]
    assert found.items.tolist() == [2**63 - 1, 0]
    assert read_interactions(written("user_id,instrument_id,ts_ms\nä,1,2\n")).users[0] == "ä"


def test_events_and_values_are_read_where_columns_have_them(written: Callable[..., Path]) -> None:
    header = "event,ts_ms,user_id,instrument_id,price,quantity\n"
    rows = "view,1,u,1,,\ntrade,2,u,1,2.5,4\n,3,u,1,2.5,\nclick,4,u,1,,4\n"
    found = read_interactions(written(header + rows))
    assert found.events.tolist() == ["view", "trade", "trade", "click"]
    assert found.weights.tolist() == [1, 5, 5, 2]
    assert np.array_equal(found.values, [np.nan, 10, np.nan, np.nan], equal_nan=True)
    plain = read_interactions(written("ts_ms,user_id,instrument_id\n1,u,1\n"))
    assert (plain.events.tolist(), plain.weights.tolist()) == (["trade"], [5])
    assert np.isnan(plain.values).all()


def test_csv_gzip_and_parquet_are_read_alike(written: Callable[..., Path], tmp_path: Path) -> None:
    plain = read_interactions(written(HEADER + ROW))
    packed = read_interactions(written(gzip.compress((HEADER + ROW).encode()), "events.csv.gz"))
    parquet = tmp_path / "events.parquet"
    frame = {"ts_ms": [1291191960000], "user_id": ["017850"], "instrument_id": [2**63 - 1]}
    pd.DataFrame(frame).to_parquet(parquet)
    for other in (packed, read_interactions(parquet)):
        assert other.users.tolist() == plain.users.tolist()
        assert other.items.tolist() == plain.items.tolist()
        assert other.ts_ms.tolist() == plain.ts_ms.tolist()


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("x,u,1,,", "row 2 .*, column ts_ms: value 'x', must be a whole number"),
        ("1,u,-4,,", "row 2 .*, column instrument_id: value '-4'"),
        ("1,u,1.5,,", "row 2 .*, column instrument_id: value '1.5'"),
        ("1,u,9223372036854775808,,", "value '9223372036854775808', must be .* to 92233720"),
        ("253402300800000,u,1,,", "column ts_ms: value '253402300800000'"),
        ("1,,1,,", "row 2 .*, column user_id: no value, must be 1 to 128 bytes"),
        ("1," + "u" * 129 + ",1,,", "column user_id: value 'u"),
        ("1,u", "row 2 .*, column instrument_id: no value"),
    ],
)
def test_an_invalid_value_is_reported_with_row_column_and_remedy(
    row: str, error: str, written: Callable[..., Path]
) -> None:
    with pytest.raises(FileError, match=error) as raised:
        read_interactions(written(HEADER + ROW + row + "\n"))
    assert "correct or remove it; 1 rows are wrong" in str(raised.value)
    assert "events.csv" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("events.txt", "", "must end in one of .csv"),
        ("events.csv", "", "empty: give a file with a header"),
        ("events.csv", HEADER, "no rows: give a file with interactions"),
        ("events.csv", "ts_ms,user\n1,u\n", "no column user_id, instrument_id among ts_ms, user"),
        ("events.csv", HEADER + "1,u,1,2,3,4\n", "no CSV .*correct the separators"),
        ("events.csv", HEADER + ROW + "1,u,1,2,3,4\n", "no CSV .*correct the separators"),
        ("events.csv", b"ts_ms,user_id,instrument_id\n1,\xff,1\n", "not UTF-8 .*save it as UTF-8"),
        ("events.csv.gz", "plain", "not gzip, or broken off"),
        ("events.csv.gz", GZIP[: len(GZIP) // 2], "broken off"),
        ("events.parquet", "plain", "no Parquet file"),
    ],
)
def test_an_unusable_file_is_reported_with_the_remedy(
    name: str, content: str | bytes, error: str, written: Callable[..., Path]
) -> None:
    with pytest.raises(FileError, match=error):
        read_interactions(written(content, name))
