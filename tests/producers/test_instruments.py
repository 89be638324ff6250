"""Rows of a file to records of `instruments`."""

import re
from pathlib import Path

import pytest

from contracts.instruments import Instrument, decode_instrument_record
from producers.files import FileError, open_rows
from producers.rows import instrument_records
from producers.run import Rejected

from .files import write, write_rows

COLUMNS = ["instrument_id", "symbol", "name", "categories", "listed"]
ROWS = [
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
    rejected = Rejected()
    with open_rows(path) as file:
        batches = list(instrument_records(file, rejected))
    assert all(len(batch.ts_ms) == len(batch.records) for batch in batches)
    records = [record for batch in batches for record in batch.records]
    assert {topic for topic, _, _ in records} <= {"instruments"}
    return dict(decode_instrument_record(key, value) for _, key, value in records), rejected


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("symbol_column", ["symbol", "code"])
def test_rows_reach_the_reader_as_they_are_in_the_file(
    tmp_path: Path, ending: str, symbol_column: str
) -> None:
    columns = [symbol_column if name == "symbol" else name for name in COLUMNS]
    instruments, rejected = read(write_rows(tmp_path / f"file{ending}", columns, ROWS))
    assert rejected.count == 0
    assert instruments == EXPECTED


def test_ids_may_be_numbers_in_parquet(tmp_path: Path) -> None:
    columns = {"instrument_id": [4], "symbol": ["AAPL"], "listed": [False]}
    path = write(tmp_path / "file.parquet", columns)
    assert read(path)[0] == {4: Instrument(4, symbol="AAPL", name="AAPL", listed=False)}


def test_a_symbol_is_one_where_a_file_also_has_codes(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "file.csv", ["code", "instrument_id", "symbol"], [["1", "4", "AAPL"]]
    )
    assert read(path)[0] == {4: Instrument(4, symbol="AAPL", name="AAPL")}


def test_an_invalid_row_is_skipped_with_its_line_and_reason(tmp_path: Path) -> None:
    rows = [
        *ROWS,
        ["7", "BANK CHARGES", "", "", ""],
        ["8", "", "", "", ""],
        ["9", "X", "", "", "?"],
    ]
    instruments, rejected = read(write_rows(tmp_path / "file.csv", COLUMNS, rows))
    assert instruments == EXPECTED
    assert rejected.count == 3
    for line, says, reason in zip(
        (5, 6, 7), ("symbol", "symbol", "bool"), rejected.shown, strict=True
    ):
        assert re.search(rf"file\.csv, line {line}: .*{says}", reason)


@pytest.mark.parametrize("columns", [["instrument_id", "name"], ["symbol", "name"], ["x", "y"]])
def test_a_file_without_a_needed_column_is_refused(tmp_path: Path, columns: list[str]) -> None:
    path = write_rows(tmp_path / "file.csv", columns, [["1", "2"]])
    with pytest.raises(FileError, match=r"instruments need instrument_id and symbol \(or code\)"):
        read(path)
