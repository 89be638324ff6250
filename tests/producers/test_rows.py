"""Rows of a file reach the readers as they are in it; those that break a rule are reported."""

import csv
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.batches import decode_interactions, decode_quotes
from contracts.event_types import BUILT_IN
from contracts.instruments import Instrument, decode_instrument_record
from contracts.messages import MAX_INSTRUMENT_ID, user_id_rule_broken
from contracts.times import MAX_TS_MS
from producers.batch import Batch, Record
from producers.files import CHUNK_ROWS, FileError, RowFile, open_rows
from producers.rows import (
    INTERACTION_ROWS,
    QUOTE_ROWS,
    Kind,
    check_columns,
    instrument_records,
    message_records,
)
from producers.run import SHOWN_REJECTIONS, Rejected

NOW_MS = 1_700_000_000_000

prices = st.floats(1e-18, 1e18)
ids = st.integers(0, MAX_INSTRUMENT_ID)
times = st.integers(0, NOW_MS)
user_ids = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=32
).filter(lambda text: user_id_rule_broken(text) is None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def replay(path: Path, kind: Kind[Any]) -> tuple[list[Record], Rejected]:
    def batches(file: RowFile, rejected: Rejected) -> Iterator[Batch]:
        check_columns(file, kind)
        return message_records(file, kind, rejected, lambda: NOW_MS)

    return collect(path, batches)


def collect(
    path: Path, batches_of: Callable[[RowFile, Rejected], Iterator[Batch]]
) -> tuple[list[Record], Rejected]:
    rejected = Rejected()
    with open_rows(path) as file:
        batches = list(batches_of(file, rejected))
    assert all(len(batch.ts_ms) == len(batch.records) for batch in batches)
    return [record for batch in batches for record in batch.records], rejected


def replay_text(
    folder: Path, text: str, kind: Kind[Any] = QUOTE_ROWS
) -> tuple[list[Record], Rejected]:
    path = folder / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return replay(path, kind)


QUOTES = {"ts_ms": times, "instrument_id": ids, "price": prices, "size": st.just(0.0) | prices}
EVENTS = {"ts_ms": times, "user_id": user_ids, "instrument_id": ids,
          "event": st.none() | st.sampled_from(list(BUILT_IN)), "price": st.none() | prices,
          "quantity": st.none() | st.integers(1, 2**40).map(float)}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "columns", "absent", "decode"),
    [
        (QUOTE_ROWS, QUOTES, {"size": 0.0}, decode_quotes),
        (INTERACTION_ROWS, EVENTS, {"event": "trade"}, decode_interactions),
    ],
    ids=["quotes", "interactions"],
)
@given(data=st.data(), ending=st.sampled_from([".csv", ".csv.gz", ".parquet"]))
def test_rows_reach_the_reader_as_they_are_in_the_file_to_the_last_digit(
    folder: Path, kind: Kind[Any], columns: Any, absent: Any, decode: Any, data: Any, ending: str
) -> None:
    rows = data.draw(st.lists(st.tuples(*columns.values()), min_size=1, max_size=8))
    records, rejected = replay(write_rows(folder / f"rows{ending}", [*columns], rows), kind)
    assert rejected.count == 0
    for (topic, key, value), row in zip(records, rows, strict=True):
        expected = {name: cell for name, cell in zip(columns, row, strict=True) if cell is not None}
        found = json.loads(value)
        assert absent | found | {"ts_ms": found["ts"]} == absent | expected | {"ts": row[0]}
        assert (topic, key.decode()) == (kind.topic.name, str(row[1]))
    assert len(decode([value for _, _, value in records], NOW_MS)[0]) == len(rows)


def test_a_parquet_price_of_32_bits_keeps_the_decimal_that_it_shows(folder: Path) -> None:
    path = folder / "narrow.parquet"
    pq.write_table(
        pa.table({"ts_ms": [1], "instrument_id": [2], "price": pa.array([30.72], pa.float32())}),
        path,
    )
    ((_, _, value),), _ = replay(path, QUOTE_ROWS)
    assert json.loads(value)["price"] == 30.72


def test_other_columns_a_byte_order_mark_and_empty_lines_are_no_data(folder: Path) -> None:
    text = "\ufeffcountry,price,ts_ms,instrument_id\n\nFR,1.5,7,4\n\n"
    ((_, key, value),), rejected = replay_text(folder, text)
    assert (key, value) == (b"4", b'{"instrument_id":4,"price":1.5,"ts":7}')
    assert rejected.count == 0


QUOTES_AROUND = "ts_ms,instrument_id,price\n1,1,1\n\n{}\n3,3,3\n"
INTERACTIONS_AROUND = "ts_ms,user_id,instrument_id,event,price,quantity\n1,1,2,,,\n\n{}\n1,3,2,,,\n"
BAD_QUOTES = [
    ("1,2,abc", 'price: must be a number, got "abc"'),
    ("1,2,0", 'price: must be a number of at least 1e-18, got "0"'),
    ("1,2,nan", "price: must be a number"),
    ("1,2,inf", "price: must be a number of at most 1e+18"),
    ("1,2,1e999", "price: Number out of range, got"),
    ("1,2,", "price: is required"),
    ("1,2.5,3", "instrument_id: must be a whole number, got"),
    ("-1,2,3", "ts: must be epoch milliseconds"),
    (f"{MAX_TS_MS},2,3", "ahead of the clock"),
    ('1,2,"1,38"', 'price: must be a number, got "1,38": write 1.38'),
    ("1,2,1,38", "4 values for the 3 columns: ['1', '2', '1', '38']"),
    ("1,2", "2 values for the 3 columns: ['1', '2']"),
]
BAD_INTERACTIONS = [
    ("1,,2,trade,1,1", "user_id: is required"),
    ("1," + "é" * 65 + ",2,trade,1,1", "user_id has 130 bytes of UTF-8"),
    ("1,a,2,sell,1,1", "event 'sell' is none of view, click"),
    ("1,a,2,trade,0,1", "price: must be a number of at least"),
]


@pytest.mark.parametrize(
    ("kind", "text", "row", "complaint"),
    [
        *((QUOTE_ROWS, QUOTES_AROUND, *bad) for bad in BAD_QUOTES),
        *((INTERACTION_ROWS, INTERACTIONS_AROUND, *bad) for bad in BAD_INTERACTIONS),
    ],
)
def test_a_bad_row_is_reported_and_skipped_alone(
    folder: Path, kind: Kind[Any], text: str, row: str, complaint: str
) -> None:
    records, rejected = replay_text(folder, text.format(row), kind)
    assert [key for _, key, _ in records] == [b"1", b"3"]
    assert rejected.count == 1
    assert rejected.shown[0].startswith(f"{folder / 'rows.csv'}, line 4: ")
    assert complaint in rejected.shown[0]


def test_all_bad_rows_are_counted_by_rule_but_only_the_first_few_logged(folder: Path) -> None:
    late = "".join(f"{MAX_TS_MS - n},2,3\n" for n in range(40))
    text = "ts_ms,instrument_id,price\n" + "".join(f"1,2,x{n}\n" for n in range(60)) + late
    records, rejected = replay_text(folder, text)
    assert records == []
    assert rejected.count == 100
    assert len(rejected.shown) == SHOWN_REJECTIONS
    assert rejected.reasons["price: must be a number"] == 60
    assert list(rejected.reasons.values()) == [60, 40]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_rows_are_numbered_across_chunks(folder: Path, ending: str) -> None:
    n = CHUNK_ROWS * 2 + 10
    columns = {"ts_ms": [1] * n, "instrument_id": [2] * n, "price": [1.0] * (n - 1) + [-1.0]}
    path = write(folder / f"long{ending}", columns)
    records, rejected = replay(path, QUOTE_ROWS)
    assert len(records) == n - 1
    place = f"line {n + 1}" if ending == ".csv" else f"row {n}"
    assert rejected.shown[0].startswith(f"{path}, {place}: price")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("column", ["ts", "ts_ms"])
@pytest.mark.parametrize("ts", ["1629061628500", "2021-08-15T22:07:08.500+01:00",
                                "2021-08-15 21:07:08.5", "2021-08-15T21:07:08.500Z"])  # fmt: skip
def test_what_a_file_is_shows_in_its_content(
    folder: Path, separator: str, column: str, ts: str
) -> None:
    text = f"{column},instrument_id,price\n{ts},4,15.47\n".replace(",", separator)
    for name, content in (("a.txt", text.encode()), ("a.csv", gzip.compress(text.encode()))):
        (folder / name).write_bytes(content)
        ((_, _, value),), _ = replay(folder / name, QUOTE_ROWS)
        assert json.loads(value) == {"instrument_id": 4, "price": 15.47, "ts": 1629061628500}


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("rows.xlsx", b"PK\x03\x04", "a ZIP archive or a workbook"),
        ("a.csv", b"ts,ts_ms,instrument_id,price\n1,1,2,3\n", "ts and ts_ms: leave one out"),
        ("absent.csv", None, r"absent\.csv: No such file"),
        ("a.csv", b"", "among none"),
        ("a.csv", b"ts_ms,price,instrument_id,price\n1,2,3,4\n", "duplicate column names"),
        ("a.csv", "ts_ms,price,instrument_id\n1,2,Zoë\n".encode("latin-1"), "not UTF-8"),
        ("a.csv", b'ts_ms,instrument_id,price\n1,2,"3\n', "line 2: no CSV"),
        ("broken.csv.gz", b"\x1f\x8bts_ms,instrument_id,price\n1,2,3\n", "not gzip"),
        ("plain.parquet", b"ts_ms,instrument_id,price\n1,2,3\n", "no Parquet file"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    folder: Path, name: str, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(FileError, match=complaint):
        replay(folder / name, QUOTE_ROWS)


@pytest.mark.parametrize(
    ("price", "damaged", "complaint"),
    [
        ([1.5], slice(0), "column price is of type list"),
        (1.5, slice(4, 40), r"some\.parquet: damaged"),
    ],
)
def test_a_parquet_file_of_lists_or_with_damage_is_refused(
    folder: Path, price: Any, damaged: slice, complaint: str
) -> None:
    path = write(folder / "some.parquet", {"ts_ms": [1], "instrument_id": [2], "price": [price]})
    content = bytearray(path.read_bytes())
    content[damaged] = b"\xff" * len(content[damaged])
    path.write_bytes(content)
    with pytest.raises(FileError, match=complaint):
        replay(path, QUOTE_ROWS)


def test_a_truncated_gzip_file_is_replayed_as_far_as_it_goes_and_reported(folder: Path) -> None:
    n = CHUNK_ROWS * 4
    columns = {"ts_ms": list(range(n)), "instrument_id": list(range(n)), "price": [1.5] * n}
    whole = write(folder / "whole.csv.gz", columns).read_bytes()
    broken = folder / "broken.csv.gz"
    broken.write_bytes(whole[: len(whole) // 2])
    with open_rows(broken) as file:
        batches = message_records(file, QUOTE_ROWS, Rejected(), lambda: NOW_MS)
        assert len(next(batches).records) == CHUNK_ROWS
        with pytest.raises(FileError, match=r"broken\.csv\.gz: not gzip, or broken off"):
            list(batches)


INSTRUMENT_COLUMNS = ["instrument_id", "symbol", "name", "categories", "listed"]
INSTRUMENTS = [
    ["4", "AAPL", "Apple Inc.", "tech;phones", "true"],
    ["5", "22423", "", "", ""],
    ["6", "85123A", "GLOBE, inflatable ", "toys ; ;", "false"],
]
EXPECTED = {
    4: Instrument(4, symbol="AAPL", name="Apple Inc.", categories=("tech", "phones")),
    5: Instrument(5, symbol="22423", name="22423"),
    6: Instrument(6, symbol="85123A", name="GLOBE, inflatable", categories=("toys",), listed=False),
}


def read(path: Path) -> tuple[dict[int, Instrument | None], Rejected]:
    records, rejected = collect(path, instrument_records)
    assert {topic for topic, _, _ in records} <= {"instruments"}
    return dict(decode_instrument_record(key, value) for _, key, value in records), rejected


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("symbol_column", ["symbol", "code"])
def test_instruments_reach_the_reader_as_they_are_in_the_file(
    tmp_path: Path, ending: str, symbol_column: str
) -> None:
    columns = [symbol_column if name == "symbol" else name for name in INSTRUMENT_COLUMNS]
    instruments, rejected = read(write_rows(tmp_path / f"file{ending}", columns, INSTRUMENTS))
    assert rejected.count == 0
    assert instruments == EXPECTED


def test_an_invalid_instrument_is_skipped_with_its_line_and_reason(tmp_path: Path) -> None:
    bad = {
        "symbol: must be a symbol": ["7", "BANK CHARGES", "", "", ""],
        "symbol: is required": ["8", "", "", "", ""],
        "listed: must be true or false": ["9", "X", "", "", "?"],
    }
    path = write_rows(tmp_path / "file.csv", INSTRUMENT_COLUMNS, [*INSTRUMENTS, *bad.values()])
    instruments, rejected = read(path)
    assert instruments == EXPECTED
    assert rejected.count == 3
    for line, (says, reason) in enumerate(zip(bad, rejected.shown, strict=True), start=5):
        assert re.search(rf"file\.csv, line {line}: .*{says}", reason)


def write(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Write columns in the format of the file's name; None is an empty cell."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table(dict(columns)), path, row_group_size=2)
        return path
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        cells = ([_cell(value) for value in values] for values in columns.values())
        writer.writerows(zip(*cells, strict=True))
    return path


def write_rows(path: Path, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    return write(path, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def _cell(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
