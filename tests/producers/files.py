"""Files of rows, in each format that can be replayed."""

import csv
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


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
